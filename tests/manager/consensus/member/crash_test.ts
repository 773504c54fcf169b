import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { hasCode } from "../../../../api/errors.ts";
import { service } from "../../store/objects.ts";
import { everything, open, withFolder } from "./one_member.ts";

const ROUNDS = 3;
/** Many checkpoints of the writer. */
const WRITES_PER_ROUND = 400;

Deno.test("RaftMember alone: kill -9 of a writing manager loses nothing that was acknowledged", async () => {
  await withFolder(async (folder) => {
    const acknowledged = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const id of await writeUntilKilled(folder)) acknowledged.add(id);
      const { store, consensus } = await open(folder);
      for (const id of acknowledged) ok(store.get("tasks", id), `${id} after round ${round}`);
      await consensus.stop();
    }
    ok(acknowledged.size >= ROUNDS * WRITES_PER_ROUND);
  });
});

Deno.test({
  name: "RaftMember alone: a full disk stops the manager and loses nothing that was acknowledged",
  ignore: !canMount(), // reason: only a privileged user can mount a small file system
  fn: () =>
    withFolder(async (folder) => {
      mount(folder);
      try {
        await fillDisk(folder);
      } finally {
        unmount(folder);
      }
    }),
});

/** Writes until the disk is full, then makes room and looks what is there. */
async function fillDisk(folder: string): Promise<void> {
  const { store, consensus } = await open(folder);
  await Deno.writeFile(`${folder}/ballast`, new Uint8Array(3_000_000));
  let error: unknown;
  for (let n = 0; error === undefined; n++) {
    const data = "x".repeat(20_000);
    await store.update((tx) => tx.create("services", service(`s${n}`, `s${n}`, { data })))
      .catch((thrown) => error = thrown);
  }
  ok(hasCode(error, "data_loss"));
  ok(hasCode(await consensus.failed, "data_loss"));
  ok(store.count("services") > 10);
  strictEqual(consensus.status().isLeader, false);
  // There is room again, but a disk that failed once is not trusted.
  await Deno.remove(`${folder}/ballast`);
  await rejects(consensus.propose(new Uint8Array(1)), (e) => hasCode(e, "data_loss"));
  const wanted = everything(store);
  await consensus.stop();

  const again = await open(folder), found = everything(again.store);
  deepStrictEqual(found.slice(0, wanted.length), wanted);
  // Of the write that failed nobody knows: it may be in the journal already.
  ok(found.length <= wanted.length + 1, `${found.length} of ${wanted.length} are there`);
  await again.store.update((tx) => tx.create("services", service("after")));
  await again.consensus.stop();
}

/** Runs the writer, kills it after enough acknowledgements, and returns all that it printed. */
async function writeUntilKilled(folder: string): Promise<string[]> {
  const script = new URL("./crash_writer.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--unstable-kv", script, folder],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  let lines = 0;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    lines += text.split("\n").length - 1;
    if (lines >= WRITES_PER_ROUND) {
      child.kill("SIGKILL");
      break;
    }
  }
  await child.status;
  return output.split("\n").slice(0, -1);
}

function canMount(): boolean {
  const folder = Deno.makeTempDirSync({ prefix: "covey-mount-" });
  const mounted = mount(folder);
  if (mounted) unmount(folder);
  Deno.removeSync(folder);
  return mounted;
}

function mount(folder: string): boolean {
  return run("mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", folder);
}

/** Lazily: where engines run beside the tests, their namespaces may hold on to it for a while. */
function unmount(folder: string): void {
  run("umount", "-l", folder);
}

function run(command: string, ...args: string[]): boolean {
  return new Deno.Command(command, { args }).outputSync().success;
}
