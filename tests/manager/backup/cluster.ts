/** Clusters to back up, and where to restore them. */
import { type BackupFrame, BackupWriter } from "../../../api/backup.ts";
import { systemClock } from "../../../api/clock.ts";
import { systemRandom } from "../../../api/random.ts";
import { backupFrames } from "../../../manager/backup/mod.ts";
import { newCluster } from "../../../manager/cluster/new_cluster.ts";
import { RaftMember } from "../../../manager/consensus/member/mod.ts";
import { createStore, type Store } from "../../../manager/store/mod.ts";
import type { RestoreFolderOptions } from "../../../manager/backup/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { node, service, task } from "../store/objects.ts";

/** Opens a real state in a folder. */
export const openState: RestoreFolderOptions["open"] = async (raftDir, nodeID) => {
  await Deno.mkdir(raftDir, { recursive: true });
  const consensus = await RaftMember.open(`${raftDir}/state.kv`, {
    nodeID,
    address: "new:2377",
    random: systemRandom,
    clock: systemClock,
    dialer: { dial: () => Promise.reject(new Error("there is nobody else")) },
  });
  const store = createStore(consensus, new FakeClock());
  await consensus.start(store);
  return { store, consensus, stop: () => consensus.stop() };
};

/**
 * A cluster with managers `m1` (which leads) and `m2`, a worker `w1`, and `services` services of one task
 * each.
 */
export async function populated(services: number, labelBytes = 10) {
  const clock = new FakeClock();
  const { store, consensus } = testStore({ clock });
  const cluster = await newCluster("the-cluster", {}, { clock, random: systemRandom });
  await store.update((tx) => {
    tx.create("clusters", cluster);
    for (const id of ["m1", "m2"]) {
      const manager = node(id);
      tx.create("nodes", { ...manager, Role: "manager", Spec: { ...manager.Spec, Role: "manager" } });
    }
    tx.create("nodes", node("w1"));
    const meta = { Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
    tx.create("secrets", { ...meta, ID: "secret1", Spec: { Name: "key", Labels: {}, Data: "YWJj" } });
    // The largest there may be: larger than a part of a backup usually is.
    const Data = new Uint8Array(1_023_999).toBase64();
    tx.create("configs", { ...meta, ID: "config1", Spec: { Name: "settings", Labels: {}, Data } });
  });
  const numbers = Array.from({ length: services }, (_, i) => i);
  await store.batch(numbers, (tx, i) => {
    tx.create("services", service(`s${i}`, `web-${i}`, { note: "ü".repeat(labelBytes) }));
    tx.create("tasks", task(`t${i}`, `s${i}`, "w1"));
  });
  const source = { store, consensus, clock, version: "1.2.3" };
  return { store, clock, frames: () => backupFrames(source) };
}

/** Everything in a store but what differs by design: managers of before, and this one. */
export function contents(store: Store) {
  return {
    clusters: store.all("clusters"),
    workers: store.all("nodes").filter(({ ID }) => ID === "w1"),
    services: store.all("services"),
    tasks: store.all("tasks"),
    secrets: store.all("secrets"),
    configs: store.all("configs"),
  };
}

/** A stream of `bytes` in chunks of `size`. */
export async function* chunked(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All of `parts`, one after another. */
export function concat(parts: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  const list = [...parts];
  const bytes = new Uint8Array(list.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of list) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The bytes of a backup made of `frames`. */
export function backupOf(frames: BackupFrame[]): Uint8Array<ArrayBuffer> {
  const writer = new BackupWriter();
  return concat(frames.map((frame) => writer.write(frame)));
}
