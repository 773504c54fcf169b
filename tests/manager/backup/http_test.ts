import assert from "node:assert/strict";
import { BACKUP_PATH, readBackup, RESTORE_PATH, SNAPSHOTS_PATH } from "../../../api/backup.ts";
import { ControlClient } from "../../../cli/client.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import { serveControlSocket } from "../../../manager/http/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testAPI } from "../http/fake_node.ts";

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

type Fetch = (request: Request) => Response | Promise<Response>;

async function withSocket(fetch: Fetch, test: (client: ControlClient) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-backup-" });
  const socket = await serveControlSocket({ path: `${folder}/s.sock`, fetch });
  const client = new ControlClient(`unix://${folder}/s.sock`);
  try {
    await test(client);
  } finally {
    client.close();
    await socket.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function* mebibytes(count: number): AsyncGenerator<Uint8Array, void> {
  for (let i = 0; i < count; i++) yield await Promise.resolve(new Uint8Array(MIB));
}

Deno.test("Backup over the control socket: a checked stream; 503 on a node without a cluster", async () => {
  const { api, node } = await testAPI(new FakeClock(), { init: false });
  await withSocket((request) => api.fetch(request, ADMINISTRATOR), async (client) => {
    const kinds = async () => {
      const frames = await Array.fromAsync(readBackup(client.download(BACKUP_PATH, signal)));
      return frames.map(({ kind }) => kind);
    };
    await assert.rejects(kinds(), /This node is not a swarm manager/);
    await node.init({});
    assert.deepEqual(await kinds(), ["head", "entry", "end"]);
    assert.deepEqual(await client.get(SNAPSHOTS_PATH), []);
    const ofSnapshot = (snapshot: string) =>
      Array.fromAsync(client.download(BACKUP_PATH, signal, { snapshot }));
    await assert.rejects(ofSnapshot("7"), /snapshot 7 is not kept here/);
    await assert.rejects(
      ofSnapshot("-1"),
      /snapshot: must be the index of a snapshot: current value is "-1"/,
    );
  });
  api.close();
});

Deno.test("Restore over the control socket: a long upload arrives as a stream", async () => {
  const { api, node } = await testAPI(new FakeClock(), { init: false });
  await withSocket((request) => api.fetch(request, ADMINISTRATOR), async (client) => {
    await client.upload(
      RESTORE_PATH,
      mebibytes(9),
      "application/octet-stream",
      { AdvertiseAddr: "a:1" },
      signal,
    );
    assert.deepEqual(node.asked, [{ bytes: 9 * MIB, AdvertiseAddr: "a:1" }]);
  });
  api.close();
});

Deno.test("Restore over the control socket: who is refused half way hears why", async () => {
  const refuse = () => Response.json({ message: "this is no backup" }, { status: 400 });
  await withSocket(refuse, async (client) => {
    const upload = client.upload(RESTORE_PATH, mebibytes(50), "application/octet-stream", {}, signal);
    await assert.rejects(upload, /this is no backup/);
  });
});
