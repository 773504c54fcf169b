/** Where a secret must not be found, by looking for its bytes: anywhere but with its reader; and on a device whose key is gone. */
import assert from "node:assert/strict";
import type { SwarmView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { allTasks, changeSpec, runningTasks, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { memoryFolderOf } from "../support/memory_folder.ts";
import { eventually, run } from "../support/programs.ts";
import { filesWith, forms, processesWith } from "../support/search_bytes.ts";

async function covey(fleet: Fleet, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("covey", fleet.socket, ...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

const folderOf = (fleet: Fleet) => fleet.socket.replace(/\/[^/]*$/, "");

/** Hands connections on to `target` and keeps all that goes through, either way. */
class Relay implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #pieces: Uint8Array[] = [];
  readonly #connections = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;
  target = "";

  constructor() {
    this.#serving = this.#serve();
  }

  get address(): string {
    return `127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  /** All that went through so far, byte by byte. */
  get seen(): string {
    const decoder = new TextDecoder("latin1");
    return this.#pieces.map((piece) => decoder.decode(piece)).join("");
  }

  async #serve(): Promise<void> {
    const copies: Promise<void>[] = [];
    for await (const client of this.#listener) {
      const [hostname, port] = this.target.split(":");
      const server = await Deno.connect({ hostname: hostname!, port: Number(port) }).catch(() => undefined);
      if (server === undefined) client.close();
      else copies.push(this.#copy(client, server), this.#copy(server, client));
    }
    await Promise.all(copies);
  }

  async #copy(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    this.#connections.add(from);
    try {
      for await (const piece of from.readable) {
        this.#pieces.push(piece.slice());
        for (let at = 0; at < piece.length;) at += await to.write(piece.subarray(at));
      }
    } catch {
      // The other side ended first.
    }
    this.#connections.delete(from);
    for (const each of [from, to]) close(each);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const each of this.#connections) close(each);
    await this.#serving;
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}

/** A program that says that it has its secret, which is `key`. `reference` says how it has it. */
async function serviceWith(fleet: Fleet, key: string, reference = "key"): Promise<string> {
  const file = await Deno.makeTempFile({ prefix: "covey-hidden-" });
  await Deno.writeTextFile(file, key);
  await covey(fleet, "secret", "create", "key", file);
  await Deno.remove(file);
  const script = 'sha256sum <"$COVEY_SECRETS_DIR/key"; exec sleep 100000';
  const flags = ["--name", "app", "--mode", "global", "--executor", "process", "--secret", reference];
  await covey(fleet, "service", "create", "-d", ...flags, "/bin/sh", "-c", script);
  const { ID } = await fleet.client.get<{ ID: string }>("/services/app");
  await waitRunning(fleet, ID, 1);
  return (await runningTasks(fleet, ID))[0]!.ID;
}

Deno.test("Secrets: what goes over the wire to a device shows nothing of them", () =>
  withFleet({}, async (fleet) => {
    await using relay = new Relay();
    await fleet.startManager("manager", ["--no-agent", "--advertise", relay.address]);
    relay.target = fleet.address;
    await fleet.startAgent("pi", ["--join", relay.address]);
    await waitNode(fleet, "pi", "ready");
    const key = `s3cret-${crypto.randomUUID()}`, before = relay.seen.length;
    await serviceWith(fleet, key);
    // It did go through here.
    assert.ok(relay.seen.length > before + key.length);
    for (const form of forms(key)) assert.ok(!relay.seen.includes(form));
    await leave(fleet);
  }));

/** Ends the programs, and then the device, before that by which it reaches its manager. */
async function leave(fleet: Fleet): Promise<void> {
  for (const { ID } of await fleet.client.get<{ ID: string }[]>("/services")) {
    await fleet.client.delete(`/services/${ID}`);
  }
  await fleet.waitUntil("no task is left", async () => (await allTasks(fleet)).length === 0);
  await fleet.end("pi", "SIGTERM");
}

/** A second service on the device, which has no secret. Resolves with its program's process. */
async function otherService(fleet: Fleet): Promise<number> {
  const flags = ["--name", "other", "--mode", "global", "--executor", "process"];
  await covey(fleet, "service", "create", "-d", ...flags, "/bin/sleep", "100000");
  const { ID } = await fleet.client.get<{ ID: string }>("/services/other");
  await waitRunning(fleet, ID, 1);
  return (await runningTasks(fleet, ID))[0]!.Status.ContainerStatus!.PID;
}

Deno.test("Secrets: an ordinary one is in clear with its reader alone: on no disk, wire or list of processes, in no log or backup", () =>
  withFleet({}, async (fleet) => {
    const folder = folderOf(fleet), key = `s3cret-${crypto.randomUUID()}`;
    await using relay = new Relay();
    await fleet.startManager("manager", ["--no-agent", "--advertise", relay.address]);
    relay.target = fleet.address;
    await fleet.addManager("follower");
    await fleet.startAgent("pi", ["--join", relay.address]);
    await waitNode(fleet, "pi", "ready");
    // So that it is in snapshots as well as in the log.
    await changeSpec<SwarmView["Spec"]>(
      fleet,
      "/swarm",
      (spec) => ({ ...spec, Raft: { ...spec.Raft, SnapshotInterval: 1 } }),
    );
    const before = relay.seen.length, task = await serviceWith(fleet, key, "source=key,env=KEY");
    const other = await otherService(fleet);
    const reader = (await allTasks(fleet)).find(({ ID }) => ID === task)!.Status.ContainerStatus!.PID;
    await Deno.writeTextFile(`${folder}/passphrase`, "correct horse\n");
    await covey(fleet, "backup", "-o", `${folder}/sealed`, "--passphrase-file", `${folder}/passphrase`);
    assert.ok(relay.seen.length > before + key.length);
    for (const form of forms(key)) assert.ok(!relay.seen.includes(form), "on the wire");
    // State folders of both managers and of the agent, the programs' logs, those of all three, and the backup.
    assert.deepEqual(await filesWith(folder, key), []);
    assert.deepEqual(await processesWith(key), [reader]);
    assert.notEqual(other, reader);
    const memory = await memoryFolderOf(`${folder}/pi/process`);
    const kept = await filesWith(memory, key);
    assert.ok(kept.length > 0 && kept.every((path) => path.startsWith(`${memory}/${task}/`)));
    // The same after a hard end of all: nothing was about to be cleaned up.
    for (const name of ["manager", "follower", "pi"]) await fleet.end(name, "SIGKILL");
    assert.deepEqual(await filesWith(folder, key), []);
    for (const name of ["manager", "follower", "pi"]) await fleet.restart(name);
    await fleet.waitUntil(
      "the managers answer",
      async () => (await fleet.client.get("/services").catch(() => "")) !== "",
    );
    // Who may have it in clear has it, and the search finds it there: without a passphrase a backup hides nothing.
    await covey(fleet, "backup", "-o", `${folder}/plain`);
    assert.deepEqual(await filesWith(folder, key), [`${folder}/plain`]);
    await leave(fleet);
  }));

Deno.test("Secrets: a device whose key was erased does not start the service again, and says why", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    const key = `s3cret-${crypto.randomUUID()}`, task = await serviceWith(fleet, key);
    const folder = `${folderOf(fleet)}/pi`;
    await fleet.end("manager", "SIGKILL");
    await fleet.end("pi", "SIGKILL");
    // The power goes, and somebody has taken the keys off the card.
    const record = await Deno.readTextFile(`${folder}/process/runs/${task}`);
    const pid = Number(record.split("\n")[1]!.split(" ")[1]);
    Deno.kill(pid, "SIGKILL");
    await Deno.remove(await memoryFolderOf(`${folder}/process`), { recursive: true });
    for (const name of ["certificates", "certificates.previous"]) {
      await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {});
    }
    for (const path of await filesWith(folder, "PRIVATE KEY")) await Deno.remove(path);
    await fleet.restart("pi");
    await eventually(
      "the agent says why",
      async () => /cannot be unsealed with its key/.test(await fleet.log("pi")),
    );
    assert.deepEqual(await filesWith(folder, key), []);
    // It was looked at, and not run again: the record is still that of the run that the power ended.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const now = await Deno.readTextFile(`${folder}/process/runs/${task}`);
    assert.equal(now.split("\n")[1], record.split("\n")[1]);
    await fleet.restart("manager");
    await fleet.waitUntil(
      "the manager answers",
      async () => (await fleet.client.get("/swarm").catch(() => "")) !== "",
    );
  }));
