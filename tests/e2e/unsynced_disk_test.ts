/** A real manager on a disk whose syncs fail, and on one that loses whatever was not synced (scenarios 60 and 61). */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ControlClient } from "../../cli/client.ts";
import { freePort, inFolder, Program, refused, ROOT } from "../support/programs.ts";
import { canTrace, finishedTrace, syncedFiles, traced } from "../support/strace.ts";

const ignore = !await canTrace(); // needs strace and the right to use it

/** Creates services until `count` are acknowledged or one is not; their names. */
async function createServices(socket: string, count: number): Promise<string[]> {
  const client = new ControlClient(`unix://${socket}`);
  const names: string[] = [];
  try {
    while (names.length < count) {
      const Name = `s${names.length}`;
      await client.post("/services/create", {
        Name,
        TaskTemplate: { ContainerSpec: { Image: "busybox" } },
        Mode: { Replicated: { Replicas: 0 } },
      });
      names.push(Name);
    }
  } catch {
    // It has ended, as it should.
  } finally {
    client.close();
  }
  return names;
}

/** Names of all services that a manager has after its start from `folder`. */
async function servicesOf(folder: string): Promise<string[]> {
  const socket = `${folder}/after.sock`;
  const flags = ["--state-dir", `${folder}/m`, "--api", socket, "--docker", "none", "--no-agent"];
  const manager = new Program(`${ROOT}manager/launch.sh`, flags);
  await manager.says(/serves at/);
  const client = new ControlClient(`unix://${socket}`);
  const services = await client.get<{ Spec: { Name: string } }[]>("/services");
  client.close();
  strictEqual(await manager.end(), 0);
  return services.map(({ Spec }) => Spec.Name);
}

function flagsOf(folder: string): { socket: string; flags: string[] } {
  const socket = `${folder}/covey.sock`;
  return {
    socket,
    flags: ["--state-dir", `${folder}/m`, "--listen", `127.0.0.1:${freePort()}`, "--api", socket],
  };
}

Deno.test({
  name: "Failing fsync: the manager ends with the reason, and has everything acknowledged at its next start",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const { socket, flags } = flagsOf(folder);
      const failing = "inject=fsync,fdatasync:error=EIO:when=40+";
      const manager = traced(`${folder}/trace`, ["-e", "trace=fsync,fdatasync", "-e", failing], flags);
      await manager.says(/serves at/);
      const names = await createServices(socket, 1_000);
      ok(names.length > 0 && names.length < 1_000, `${names.length} were acknowledged`);
      await refused(manager, /Cannot go on: Cannot write .*\/raft\/state.kv.journal: Input\/output error/);
      const found = await servicesOf(folder);
      deepStrictEqual(names.filter((name) => !found.includes(name)), []);
      ok(found.length <= names.length + 1, "at most the one that nobody was told of");
    }),
});

Deno.test({
  name: "Lost power: a disk that keeps only what was synced has everything that was acknowledged",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const { socket, flags } = flagsOf(folder);
      const files = ["state.kv", "state.kv-wal", "state.kv.journal"].map((name) =>
        `${folder}/m/raft/${name}`
      );
      const calls = "trace=lseek,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync";
      const paths = files.flatMap((file) => ["-P", file]);
      const options = ["-y", "-xx", "-s", "1000000", ...paths, "-e", calls];
      const manager = traced(`${folder}/trace`, options, flags);
      await manager.says(/serves at/);
      const names = await createServices(socket, 60);
      strictEqual(names.length, 60);
      await manager.end("SIGKILL");
      const synced = syncedFiles(await finishedTrace(`${folder}/trace`, manager.pid), files);
      await Deno.remove(`${folder}/m/raft`, { recursive: true });
      await Deno.mkdir(`${folder}/m/raft`);
      for (const [path, bytes] of synced) await Deno.writeFile(path, bytes);
      deepStrictEqual((await servicesOf(folder)).toSorted(), names.toSorted());
    }),
});
