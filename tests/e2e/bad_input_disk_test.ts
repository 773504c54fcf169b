/** Full and damaged disks: a manager ends rather than pretends, and nothing that it acknowledged is lost. */
import assert from "node:assert/strict";
import { ControlClient } from "../../cli/client.ts";
import { CoveyError } from "../../api/errors.ts";
import { joinToken, startManager, withManager } from "../support/one_manager.ts";
import { eventually, freePort, inFolder, type Program, refused, run, start } from "../support/programs.ts";

async function mount(...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command("mount", { args, stderr: "null" }).output();
  return success;
}

/** Only root may make a file system of a certain size. */
async function cannotMount(): Promise<boolean> {
  const folder = await Deno.makeTempDir();
  const mounted = await mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
  if (mounted) await unmount(folder);
  await Deno.remove(folder);
  return !mounted;
}

/** What a manager's agent was starting beside itself may end a moment after it. */
async function unmount(folder: string): Promise<void> {
  let why = "";
  await eventually(`${folder} is unmounted`, async () => {
    const { success, stderr } = await new Deno.Command("umount", { args: [folder] }).output();
    why = new TextDecoder().decode(stderr);
    return success;
  }, () => why);
}

/** Creates services until one is refused; the names that were acknowledged, and the refusal. */
async function createUntilFull(socket: string): Promise<{ names: string[]; error: CoveyError }> {
  const client = new ControlClient(`unix://${socket}`);
  const names: string[] = [];
  try {
    for (;;) {
      const Name = `s${names.length}`;
      await client.post("/services/create", {
        Name,
        Labels: { fill: "x".repeat(40_000) },
        TaskTemplate: { Runtime: "process", ProcessSpec: { Command: "/bin/true" } },
        Mode: { Replicated: { Replicas: 0 } },
      });
      names.push(Name);
    }
  } catch (thrown) {
    return { names, error: CoveyError.from(thrown) };
  } finally {
    client.close();
  }
}

Deno.test({
  name:
    "Full disk: the manager ends with the reason, and comes back with everything acknowledged once there is room",
  ignore: await cannotMount(), // needs a file system of its own, and so root
  fn: () =>
    inFolder(async (folder) => {
      const disk = `${folder}/m`, socket = `${folder}/covey.sock`;
      await Deno.mkdir(disk);
      assert.ok(await mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", disk));
      const flags = ["--listen", `127.0.0.1:${freePort()}`, "--api", socket];
      let manager = startManager(folder, "m", ...flags);
      try {
        await manager.says(/serves at/);
        const { names, error } = await createUntilFull(socket);
        assert.match(error.message, /Cannot write .*state.kv: .*full|the connection broke|Cannot connect/);
        assert.ok(names.length > 10, `${names.length} services fit`);
        await refused(manager, /Cannot go on: Cannot write .*\/raft\/state.kv: database or disk is full/);
        manager = startManager(folder, "m", ...flags);
        // A few bytes may be left for the first write of a new term; then it serves what it has.
        await manager.says(
          /serves at|Cannot (write|open) .*\/raft\/state.kv: .*(full|No space)|No space left/,
        );
        await manager.end();
        assert.ok(await mount("-o", "remount,size=64m", disk));
        manager = startManager(folder, "m", ...flags);
        await manager.says(/serves at/);
        const { stdout } = await run("covey", socket, "service", "ls", "--format", "json");
        const found = (JSON.parse(stdout) as { Spec: { Name: string } }[]).map(({ Spec }) => Spec.Name);
        assert.deepEqual(names.filter((name) => !found.includes(name)), []);
        assert.ok(found.length <= names.length + 1, "at most the one that nobody was told of");
      } finally {
        await manager.end();
        await unmount(disk);
      }
    }),
});

/** A stopped manager's folder, which `damage` changes before the manager is started again. */
async function afterDamage(
  damage: (folder: string) => Promise<unknown>,
  judge: (manager: Program, folder: string) => Promise<unknown>,
): Promise<void> {
  await inFolder(async (folder) => {
    const first = startManager(folder, "m", "--listen", `127.0.0.1:${freePort()}`);
    await first.says(/serves at/);
    await first.end();
    await damage(`${folder}/m`);
    const manager = startManager(folder, "m");
    await judge(manager, `${folder}/m`);
    await manager.end();
  });
}

const node = (text: string) => (folder: string) => Deno.writeTextFile(`${folder}/node.json`, text);

async function flipBytes(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  // Every value, every page: whatever is met first must be noticed.
  for (let i = 4096 + 2000; i < bytes.length; i += 512) bytes[i] = bytes[i]! ^ 0xff;
  await Deno.writeFile(path, bytes);
}

const DAMAGE: [string, (folder: string) => Promise<unknown>, RegExp][] = [
  ["cut node.json", node("{"), /Cannot read .*\/node.json: Expected property name/],
  ["empty node.json", node("null"), /Cannot read .*\/node.json: it holds no object/],
  [
    "newer node.json",
    node('{"format":7}'),
    /Cannot read .*\/node.json: its format is 7, this program reads 1/,
  ],
  [
    "bare node.json",
    node('{"format":1}'),
    /Cannot read .*\/node.json: missing or wrong: nodeID, clusterID, listen/,
  ],
  [
    "no node.json",
    (folder) => Deno.remove(`${folder}/node.json`),
    /holds a cluster's state, but node.json is missing/,
  ],
  [
    "no state",
    (folder) => Deno.remove(`${folder}/raft/state.kv`),
    /the cluster's state is missing; bring it back/,
  ],
  [
    "cut state",
    (folder) => Deno.truncate(`${folder}/raft/state.kv`, 5000),
    /Cannot open .*state.kv: .*malformed/,
  ],
  [
    "flipped state",
    (folder) => flipBytes(`${folder}/raft/state.kv`),
    /Cannot (open|read|unseal) .*(damaged|malformed|invalid utf8)/,
  ],
  [
    "no keys",
    (folder) => Deno.remove(`${folder}/certificates/manager.keys`),
    /Cannot unseal the state: .* certificates\/manager.keys is not what it was sealed with/,
  ],
  [
    "flipped keys",
    async (folder) => {
      const path = `${folder}/certificates/manager.keys`, text = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, text.replace(/(?<="keys": ".)./, (bad) => bad === "A" ? "B" : "A"));
    },
    /Cannot read .*\/certificates\/manager.keys: its digest is wrong/,
  ],
  [
    "garbled certificate",
    (folder) => Deno.writeTextFile(`${folder}/certificates/swarm-node.crt`, "garbage"),
    /Cannot load node identity from .*\/certificates: /,
  ],
];

Deno.test("Damaged state folder: the manager refuses to start, names the file, and changes nothing there", async () => {
  await Promise.all(DAMAGE.map(([name, damage, reason]) =>
    afterDamage(damage, async (manager, folder) => {
      await refused(manager, reason);
      if (name !== "no state") assert.ok((await Deno.stat(`${folder}/raft/state.kv`)).size > 0, name);
    })
  ));
});

Deno.test("Damaged state folder: without its certificates a manager makes new ones", () =>
  afterDamage(
    async (folder) => {
      for (const name of ["swarm-node.crt", "swarm-node.key", "swarm-root-ca.crt"]) {
        await Deno.remove(`${folder}/certificates/${name}`);
      }
    },
    (manager) => manager.says(/serves at/),
  ));

Deno.test("Damaged state folder: an agent puts its local state aside, keeps its identity and takes its tasks up again", () =>
  withManager(async ({ folder, address, socket }) => {
    const flags = ["--state-dir", `${folder}/a`, "--join", address];
    const first = start("agent", ...flags, "--token", await joinToken(socket));
    await first.says(/is connected/);
    await first.end();
    for (
      const [name, text] of [["tasks.kv", "garbage"], ["clock-floor", "x"], ["managers", ":::\n[zz]:1\n"]]
    ) {
      await Deno.writeTextFile(`${folder}/a/${name}`, text!);
    }
    const second = start("agent", ...flags);
    await second.says(/Starting without local state: Cannot open .*\/tasks.kv: file is not a database/);
    await second.says(/is connected/);
    assert.equal(await second.end(), 0);
    assert.equal((await run("covey", socket, "node", "ls", "-q")).stdout.trim().split("\n").length, 2);
  }));
