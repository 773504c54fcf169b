import assert from "node:assert/strict";
import type { Node } from "../../../api/node.ts";
import { systemRandom } from "../../../api/random.ts";
import {
  type RestoredCluster,
  restoreFolder,
  type RestoreFolderOptions,
} from "../../../manager/backup/mod.ts";
import { RESTORE_VERSION_GAP } from "../../../manager/backup/import_backup.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { task } from "../store/objects.ts";
import { chunked, concat, contents, openState, populated } from "./cluster.ts";

async function withFolder(test: (stateDir: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-restore-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function restore(
  stateDir: string,
  bytes: Uint8Array,
  over: Partial<RestoreFolderOptions> = {},
): Promise<RestoredCluster> {
  const clock = new FakeClock(Date.UTC(2027, 0, 1));
  return restoreFolder({
    stateDir,
    backup: chunked(bytes, 10_000),
    open: openState,
    clock,
    random: systemRandom,
    ...over,
  });
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}

Deno.test("Restore: every object comes back, in order and with its version, from disk", () =>
  withFolder(async (stateDir) => {
    const { store, frames } = await populated(1200, 300);
    const parts = [...frames()];
    const large = parts.filter((part) => part.length >= 300_000);
    assert.ok(
      parts.length > 3 && large.length === 1,
      "parts are of bounded size, but for the one large object",
    );
    assert.ok(large[0]!.length < 1_500_000, "and that one is an entry of the log again");
    const restored = await restore(stateDir, concat(parts));
    assert.deepEqual(namesIn(stateDir), ["raft"]);
    const state = await openState(`${stateDir}/raft`, restored.NodeID);
    try {
      assert.deepEqual(contents(state.store), contents(store));
      assert.equal(restored.ClusterID, "the-cluster");
      assert.equal(restored.Objects, 1 + 3 + 2 + 2 * 1200);
    } finally {
      await state.stop();
    }
  }));

Deno.test("Restore: the restored manager is a new node and the only manager", () =>
  withFolder(async (stateDir) => {
    const { frames } = await populated(1);
    const { NodeID } = await restore(stateDir, concat(frames()));
    const { store, consensus, stop } = await openState(`${stateDir}/raft`, NodeID);
    try {
      const roles = store.all("nodes").map((node: Node) => [node.ID, node.Role, node.Spec.Role]);
      assert.deepEqual(roles, [
        ["m1", "worker", "worker"],
        ["m2", "worker", "worker"],
        ["w1", "worker", "worker"],
        [NodeID, "manager", "manager"],
      ]);
      assert.equal(store.get("nodes", NodeID)!.CreatedAt, "2027-01-01T00:00:00.000Z");
      assert.deepEqual(consensus.status().members.map(({ nodeID }) => nodeID), [NodeID]);
    } finally {
      await stop();
    }
  }));

Deno.test("Restore: versions that were given out after the backup are not given out again", () =>
  withFolder(async (stateDir) => {
    const { store, frames } = await populated(3);
    const bytes = concat(frames());
    const newest = Math.max(...store.all("services").map(({ Version }) => Version.Index));
    const { NodeID } = await restore(stateDir, bytes);
    const state = await openState(`${stateDir}/raft`, NodeID);
    try {
      const [first] = state.store.all("services");
      await state.store.update((tx) => tx.update("services", first!));
      const { Version } = state.store.get("services", first!.ID)!;
      assert.ok(Version.Index > newest + RESTORE_VERSION_GAP, `${Version.Index} after ${newest}`);
    } finally {
      await state.stop();
    }
  }));

Deno.test("Backup: it is of the moment it began, whatever is written meanwhile", () =>
  withFolder(async (stateDir) => {
    const { store, frames } = await populated(1200, 300);
    const expected = contents(store);
    const parts = frames()[Symbol.iterator]();
    const first = parts.next().value!;
    await store.update((tx) => {
      tx.delete("services", "s0");
      tx.update("services", {
        ...tx.get("services", "s1199")!,
        Spec: { ...tx.get("services", "s1199")!.Spec, Labels: {} },
      });
      tx.create("tasks", task("late", "s1"));
    });
    const { NodeID } = await restore(stateDir, concat([first, ...{ [Symbol.iterator]: () => parts }]));
    const state = await openState(`${stateDir}/raft`, NodeID);
    try {
      assert.deepEqual(contents(state.store), expected);
    } finally {
      await state.stop();
    }
  }));

Deno.test("Restore: a damaged, cut or foreign backup leaves the folder as it was", () =>
  withFolder(async (stateDir) => {
    const { frames } = await populated(1200, 300);
    const bytes = concat(frames());
    const damaged = bytes.slice();
    damaged[bytes.length - 400_000]! ^= 1;
    const cases: [Uint8Array, RegExp][] = [
      [damaged, /it is damaged, the checksum at byte \d+ is wrong/],
      [bytes.subarray(0, -1), /cut off after \d+ bytes/],
      [bytes.subarray(1), /no backup of Covey/],
    ];
    for (const [backup, message] of cases) {
      await assert.rejects(restore(stateDir, backup), message);
      assert.deepEqual(namesIn(stateDir), []);
    }
    await restore(stateDir, bytes);
  }));

Deno.test("Restore: a folder that holds anything of a cluster is refused and left alone", async () => {
  const { frames } = await populated(1);
  const bytes = concat(frames());
  for (const trace of ["node.json", "raft/state.kv", "agent/state.kv", "certificates/swarm-node.crt"]) {
    await withFolder(async (stateDir) => {
      if (trace.includes("/")) await Deno.mkdir(`${stateDir}/${trace.split("/")[0]}`);
      await Deno.writeTextFile(`${stateDir}/${trace}`, "x");
      await assert.rejects(restore(stateDir, bytes), /it is not empty/);
      assert.equal(await Deno.readTextFile(`${stateDir}/${trace}`), "x");
    });
  }
});

Deno.test("Restore: what a restore before left half done is thrown away", () =>
  withFolder(async (stateDir) => {
    await Deno.mkdir(`${stateDir}/restore`);
    await Deno.writeTextFile(`${stateDir}/restore/state.kv`, "half");
    const { frames } = await populated(1);
    await restore(stateDir, concat(frames()));
    assert.deepEqual(namesIn(stateDir), ["raft"]);
  }));
