import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import {
  bootstrap,
  forceSingleMember,
  MemoryStorage,
  RaftInvariantError,
  RawNode,
  validateRaftConfig,
} from "../../../manager/raft/mod.ts";
import { Inflights } from "../../../manager/raft/inflights.ts";
import { storageWith, testConfig } from "./support/cluster.ts";
import { LoneNode } from "./support/lone_node.ts";

const CORE = new URL("../../../manager/raft/", import.meta.url);

/** The files that a module reaches by static imports. */
function reach(url: URL, seen = new Set<string>()): Set<string> {
  if (seen.has(url.href)) return seen;
  seen.add(url.href);
  const source = Deno.readTextFileSync(url);
  for (const [, target] of source.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"/gm)) {
    if (target!.startsWith(".")) reach(new URL(target!, url), seen);
    else seen.add(target!);
  }
  return seen;
}

Deno.test("Raft core: reaches nothing but itself and the error class", () => {
  const outside = [...reach(new URL("mod.ts", CORE))].filter((file) => !file.startsWith(CORE.href));
  assert.deepEqual(outside, [new URL("../../api/errors.ts", CORE).href]);
});

Deno.test("Raft core: uses no clock, no randomness, no runtime and no asynchrony", () => {
  const banned =
    /\b(Deno|process|await|async|Promise|setTimeout|setInterval|queueMicrotask|Date|performance|crypto)\b|import\(|Math\.random/;
  for (const file of reach(new URL("mod.ts", CORE))) {
    if (!file.startsWith(CORE.href)) continue;
    const code = Deno.readTextFileSync(new URL(file)).replace(/\/\*[^]*?\*\/|\/\/.*|"[^"\n]*"/g, "");
    assert.equal(banned.exec(code)?.[0], undefined, file);
  }
});

Deno.test("RaftConfig: all problems are reported at once", () => {
  const config = testConfig(0, {
    electionTicks: 1,
    heartbeatTicks: 2,
    maxInflightMessages: 0,
    maxCommittedBytes: -1,
  });
  const fields = validateRaftConfig(config).map(({ field }) => field).sort();
  assert.deepEqual(fields, ["electionTicks", "id", "maxCommittedBytes", "maxInflightMessages"]);
  assert.throws(() => new RawNode(config, new MemoryStorage()), CoveyError);
});

Deno.test("RawNode: refuses a stored commit index beyond the stored log (scenario 64)", () => {
  const initial = storageWith([1]).initialState();
  const broken = { ...initial, hardState: { term: 1, vote: 0, commit: 9 } };
  const storage = MemoryStorage.restore(broken, { index: 1, term: 1 }, []);
  assert.throws(() => new RawNode(testConfig(1), storage), RaftInvariantError);
});

Deno.test("RawNode: a broken invariant stops it for good", () => {
  const node = new LoneNode({ terms: [2], commit: 2 });
  node.drain();
  node.receive(2, { type: "heartbeat", term: 3, commit: 1, readRound: 0 });
  node.storage.term = () => {
    throw new Error("disk gone");
  };
  assert.throws(
    () =>
      node.receive(2, {
        type: "append",
        term: 3,
        prevIndex: 2,
        prevTerm: 2,
        entries: [],
        commit: 1,
      }),
    RaftInvariantError,
  );
  assert.throws(() => node.raw.tick(), RaftInvariantError);
});

Deno.test("RawNode: messages that no correct member makes are named and change nothing", () => {
  const node = new LoneNode();
  const entry = (index: number, term: number) =>
    ({ index, term, type: "normal", data: new Uint8Array(0) }) as const;
  const base = { type: "append", from: 2, to: 1, term: 2, prevIndex: 1, prevTerm: 1, commit: 1 } as const;
  assert.equal(node.raw.step({ ...base, entries: [entry(3, 2)] }), "malformed");
  assert.equal(node.raw.step({ ...base, entries: [entry(2, 3)] }), "malformed");
  assert.equal(node.raw.step({ ...base, entries: [], from: 1 }), "malformed");
  assert.equal(node.raw.step({ ...base, entries: [], commit: -1 }), "malformed");
  assert.equal(node.raw.step({ ...base, entries: [], to: 2 }), "not_for_me");
  assert.equal(node.raw.status().term, 1);
});

Deno.test("RawNode: a second batch is handed out only after the first was stored", () => {
  const node = new LoneNode();
  node.lead();
  node.raw.propose([new Uint8Array(1)]);
  const first = node.raw.ready();
  node.raw.propose([new Uint8Array(2)]);
  const second = node.raw.ready();
  assert.equal(first.write?.entries.length, 1);
  assert.equal(second.write, null);
  node.storage.write(first.write!);
  node.raw.persisted();
  assert.equal(node.raw.ready().write?.entries.length, 1);
});

Deno.test("RawNode: reads beyond the limit are refused, and one that is forgotten makes room", () => {
  const node = new LoneNode({ terms: [] }, { maxPendingReads: 1 });
  assert.deepEqual(node.raw.readIndex(), { ok: false, reason: "no_leader" });
  node.lead();
  const first = node.raw.readIndex();
  assert.ok(first.ok);
  assert.deepEqual(node.raw.readIndex(), { ok: false, reason: "too_many_reads" });
  node.raw.forgetRead(first.id);
  assert.ok(node.raw.readIndex().ok);
});

Deno.test("forceSingleMember: keeps the whole log, and the survivor leads alone (scenario 72)", () => {
  const storage = storageWith([1, 2, 3], { terms: [2, 2], commit: 2 });
  storage.write(forceSingleMember(storage, 1));
  const raw = new RawNode(testConfig(1), storage);
  assert.deepEqual(raw.status().confState.voters, [1]);
  assert.deepEqual(raw.status().confState.removed, [2, 3]);
  raw.campaign();
  for (let i = 0; i < 3 && raw.hasReady(); i++) {
    const { write, committed } = raw.ready();
    if (committed.length > 0) raw.applied(committed.at(-1)!.index);
    if (!write) continue;
    storage.write(write);
    raw.persisted();
  }
  const { role, commit, lastIndex } = raw.status();
  assert.deepEqual({ role, commit, lastIndex }, { role: "leader", commit: 5, lastIndex: 5 });
  const heartbeat = { type: "heartbeat", from: 2, to: 1, term: 99, commit: 1, readRound: 0 } as const;
  assert.equal(raw.step(heartbeat), "removed_sender");
});

Deno.test("bootstrap: all first members store the same", () => {
  assert.deepEqual(bootstrap([3, 1, 2]), bootstrap([1, 2, 3]));
});

Deno.test("Inflights: the window wraps around, and is limited by count and by bytes", () => {
  const window = new Inflights(5, 100);
  for (let index = 1; index <= 40; index++) {
    window.add(index, 10);
    if (index % 5 === 0) {
      assert.equal(window.full, true);
      window.freeTo(index - 2);
      assert.equal(window.count, 2);
      window.freeTo(index);
    }
  }
  window.add(41, 100);
  assert.equal(window.full, true);
  assert.throws(() => window.add(42, 1), RaftInvariantError);
});
