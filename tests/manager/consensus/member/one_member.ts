/** Stores on real disks for tests, and disks that break. */
import { systemClock } from "../../../../api/clock.ts";
import { CoveyError } from "../../../../api/errors.ts";
import { systemRandom } from "../../../../api/random.ts";
import type { Consensus } from "../../../../manager/consensus/consensus.ts";
import type { Disk } from "../../../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { RaftMember, type RaftMemberOptions } from "../../../../manager/consensus/member/mod.ts";
import type { StateMachine } from "../../../../manager/consensus/state_machine.ts";
import { createStore } from "../../../../manager/store/memory_store.ts";
import type { Store } from "../../../../manager/store/store.ts";

export interface Opened {
  store: Store & StateMachine;
  consensus: Consensus;
}

type Options = Partial<RaftMemberOptions>;

/** Commits of a start: the vote, and the first entry of the new term. */
const START_COMMITS = 2;

function complete(options: Options): RaftMemberOptions {
  return {
    nodeID: "node",
    address: "127.0.0.1:2377",
    random: systemRandom,
    clock: systemClock,
    dialer: { dial: () => Promise.reject(new CoveyError("unavailable", "there is nobody else")) },
    ...options,
  };
}

/** A store on the KV file in `folder`; stops again if it cannot start. */
export async function open(folder: string, options: Options = {}): Promise<Opened> {
  const consensus = await RaftMember.open(`${folder}/consensus.kv`, complete(options));
  return await begin(consensus);
}

/** As {@linkcode open}, but the disk dies with commit number `commits + 1` after the start. */
export async function openUntil(folder: string, commits: number, options: Options = {}): Promise<Opened> {
  const disk = mortal(await openKvDisk(`${folder}/consensus.kv`), commits + START_COMMITS);
  return await begin(await RaftMember.openOnDisk(disk, complete(options)));
}

async function begin(consensus: Consensus): Promise<Opened> {
  const store = createStore(consensus, systemClock);
  try {
    await consensus.start(store);
  } catch (error) {
    await consensus.stop();
    throw error;
  }
  return { store, consensus };
}

/** Runs `test` with a folder of its own. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-consensus-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every object of the store. */
export function everything(store: Store): unknown[] {
  return [...store.all("services"), ...store.all("tasks")];
}

function mortal(disk: Disk, commits: number): Disk {
  const { promise, resolve } = Promise.withResolvers<Error>();
  let left = commits;
  return {
    failed: promise,
    get: (key) => disk.get(key),
    list: (prefix, start) => disk.list(prefix, start),
    close: () => disk.close(),
    async commit(mutations) {
      if (left-- > 0) return await disk.commit(mutations);
      const error = new CoveyError("data_loss", "Cannot write: the test pulled the plug");
      resolve(error);
      throw error;
    },
  };
}
