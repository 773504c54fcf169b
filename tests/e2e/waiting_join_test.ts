/** A join whose manager takes the connection and says nothing: what is told meanwhile, and how it can be ended. */
import assert from "node:assert/strict";
import { ControlClient } from "../../cli/client.ts";
import { type Program, start } from "../support/programs.ts";

const TOKEN = `SWMTKN-1-${"1".repeat(50)}-${"1".repeat(25)}`;

/** Runs `work` with a folder and the address of a listener that never says a word. */
async function withSilence(work: (folder: string, silent: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir(), held: Deno.Conn[] = [];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of listener) held.push(connection);
  })();
  try {
    await work(folder, `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`);
  } finally {
    listener.close();
    await accepting.catch(() => {});
    for (const connection of held) connection.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** On the silent one's port: an idle manager reaches no other, see `transport/allow_net.sh`. */
const flags = (silent: string) => ["--listen", silent.replace("127.0.0.1", "127.0.0.2"), "--no-agent"];

Deno.test("Waiting join: a manager that is started with --join says so at once, and ends when it is told to", () =>
  withSilence(async (folder, silent) => {
    const manager = start(
      "manager",
      "--state-dir",
      folder,
      ...flags(silent),
      "--join",
      silent,
      "--token",
      TOKEN,
    );
    await manager.says(new RegExp(`Joining the cluster of ${silent}`));
    assert.equal(await manager.end(), 0, manager.output);
    assert.doesNotMatch(manager.output, /fatal|Uncaught/);
  }));

Deno.test("Waiting join: the node shows whom it waits for, and leaving ends it", () =>
  withSilence(async (folder, silent) => {
    const manager: Program = start("manager", "--state-dir", folder, ...flags(silent), "--idle");
    await manager.says(/The control API is at/);
    const client = new ControlClient(`unix://${folder}/covey.sock`);
    const info = async () =>
      (await client.get<{ Swarm: { LocalNodeState: string; Error: string } }>("/info")).Swarm;
    const join = client.post("/swarm/join", { RemoteAddrs: [silent], JoinToken: TOKEN })
      .then(() => "joined", ({ message }: Error) => message);
    await manager.says(/Joining the cluster/);
    assert.deepEqual(
      (({ LocalNodeState, Error }) => [LocalNodeState, Error])(await info()),
      ["pending", `Asks ${silent} for a certificate`],
    );
    await client.post("/swarm/leave", undefined);
    assert.equal(await join, "Cannot join: it was ended before a manager answered");
    assert.equal((await info()).LocalNodeState, "inactive");
    client.close();
    assert.equal(await manager.end(), 0, manager.output);
  }));

Deno.test("State folder: one that cannot be used is named", async () => {
  const file = await Deno.makeTempFile();
  for (const program of ["manager", "agent"] as const) {
    const refused = start(program, "--state-dir", `${file}`);
    assert.notEqual(await refused.ends(), 0);
    assert.ok(refused.output.includes(file), refused.output);
  }
  await Deno.remove(file);
});
