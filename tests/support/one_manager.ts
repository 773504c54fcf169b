/** One manager as a process, for tests that try to harm it. */
import assert from "node:assert/strict";
import type { Disk } from "../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../manager/consensus/disk/kv_disk.ts";
import { SealedDisk } from "../../manager/consensus/disk/sealed_disk.ts";
import { ManagerKeys, systemFileSystem } from "../../security/mod.ts";
import { freePort, inFolder, type Program, run, start } from "./programs.ts";

/** A cluster of one manager without an agent. */
export interface OneManager {
  folder: string;
  address: string;
  socket: string;
  manager: Program;
  token: string;
}

/** Starts a manager, without an agent beside it, on `folder/name`. */
export function startManager(folder: string, name: string, ...flags: string[]): Program {
  return start("manager", "--state-dir", `${folder}/${name}`, "--no-agent", ...flags);
}

/** The state of a manager that does not run, unsealed; `key` opens a locked one's. */
export async function openState(stateDir: string, key?: Uint8Array): Promise<Disk> {
  const keys = new ManagerKeys(systemFileSystem, stateDir);
  await keys.load();
  if (key !== undefined) assert.ok(keys.unlock(key));
  return await SealedDisk.open(await openKvDisk(`${stateDir}/raft/state.kv`), keys.data);
}

/** Runs `test` beside a manager that must serve to the end and have nothing bad in its log. */
export async function withManager(test: (cluster: OneManager) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const address = `127.0.0.1:${freePort()}`, socket = `${folder}/m/covey.sock`;
    const manager = startManager(folder, "m", "--listen", address);
    try {
      await manager.says(/serves at/);
      await test({ folder, address, socket, manager, token: await joinToken(socket) });
      const { code, stderr } = await run("covey", socket, "node", "ls");
      assert.equal(code, 0, stderr);
      assert.equal(await manager.end(), 0);
      assert.doesNotMatch(manager.output, /\[fatal\]|\[error\]/);
    } finally {
      await manager.end("SIGKILL");
    }
  });
}

/** The present join token of workers. */
export async function joinToken(socket: string): Promise<string> {
  return (await run("covey", socket, "swarm", "join-token", "-q", "worker")).stdout.trim();
}
