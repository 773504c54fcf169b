/** The rules of the Raft paper (extended version) and of Ongaro's dissertation on logs, each with its section. */

import assert from "node:assert/strict";
import type { Entry } from "../../../manager/raft/mod.ts";
import { LoneNode, only } from "./support/lone_node.ts";

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  type: "normal",
  data: new Uint8Array([index]),
});
const append = (term: number, prevIndex: number, prevTerm: number, entries: Entry[], commit: number) =>
  ({ type: "append", term, prevIndex, prevTerm, entries, commit }) as const;

Deno.test("Paper 5.3: a leader appends a proposal and sends it with the entry before it", () => {
  const node = new LoneNode();
  node.lead();
  node.accept(2, 2);
  node.accept(3, 2);
  const appends = only(node.propose("x"), "append");
  assert.deepEqual(appends.map(({ to, prevIndex, prevTerm }) => [to, prevIndex, prevTerm]), [[2, 2, 2], [
    3,
    2,
    2,
  ]]);
  assert.deepEqual(appends[0]?.entries.map(({ index, term }) => [index, term]), [[3, 2]]);
});

Deno.test("Paper 5.3: an entry is committed once a majority stores it, the leader's own disk included", () => {
  for (const [acceptors, committed] of [[[], 1], [[2], 1], [[2, 3], 2], [[2, 3, 4, 5], 2]] as const) {
    const node = new LoneNode({ terms: [] }, {}, [1, 2, 3, 4, 5]);
    node.raw.campaign();
    node.drain();
    for (const id of [2, 3]) node.receive(id, { type: "vote_response", term: 2, granted: true });
    for (const id of acceptors) node.accept(id, 2);
    assert.equal(node.raw.status().commit, committed, `${acceptors}`);
  }
});

Deno.test("Paper 5.3: committing an entry commits all before it, those of earlier leaders too", () => {
  const node = new LoneNode({ terms: [1, 1] });
  node.lead();
  node.accept(2, 4);
  assert.deepEqual(node.applied, [2, 3, 4]);
});

Deno.test("Paper 5.3: followers learn the commit index and apply in order", () => {
  const node = new LoneNode();
  node.receive(2, append(2, 1, 1, [entry(2, 2), entry(3, 2)], 2));
  assert.deepEqual(node.applied, [2]);
  node.receive(2, append(2, 3, 2, [], 3));
  assert.deepEqual(node.applied, [2, 3]);
});

Deno.test("Paper 5.3: a follower refuses entries that do not follow its log", () => {
  for (const [prevIndex, prevTerm, rejected] of [[3, 2, false], [4, 2, true], [3, 3, true]] as const) {
    const node = new LoneNode({ terms: [2, 2] });
    const [answer] = only(node.receive(2, append(4, prevIndex, prevTerm, [], 1)), "append_response");
    assert.equal(answer?.rejected, rejected, `${prevIndex}/${prevTerm}`);
  }
});

Deno.test("Paper 5.3: conflicting entries are replaced, missing ones added, equal ones and their successors kept", () => {
  const cases: { prev: number; entries: Entry[]; terms: number[] }[] = [
    { prev: 3, entries: [entry(4, 4)], terms: [2, 2, 4] },
    { prev: 2, entries: [entry(3, 4), entry(4, 4)], terms: [2, 4, 4] },
    { prev: 2, entries: [entry(3, 2)], terms: [2, 2, 3] },
    { prev: 1, entries: [], terms: [2, 2, 3] },
    { prev: 4, entries: [entry(5, 4)], terms: [2, 2, 3, 4] },
  ];
  for (const { prev, entries, terms } of cases) {
    const node = new LoneNode({ terms: [2, 2, 3] });
    node.receive(2, append(4, prev, prev === 1 ? 1 : prev === 4 ? 3 : 2, entries, 1));
    assert.deepEqual(node.terms(), terms, `after ${prev}`);
  }
});

Deno.test("Paper 5.3: a leader whose entries are refused goes back until the logs agree", () => {
  const node = new LoneNode({ terms: [1, 1, 1] });
  node.lead();
  const refusal = {
    type: "append_response",
    term: 2,
    index: 4,
    rejected: true,
    hintIndex: 2,
    hintTerm: 1,
  } as const;
  const [retry] = only(node.receive(2, refusal), "append");
  assert.deepEqual([retry?.prevIndex, retry?.entries.length], [2, 3]);
});

Deno.test("Paper 5.3: entries are acknowledged only when they are stored", () => {
  const node = new LoneNode();
  node.raw.step({ ...append(2, 1, 1, [entry(2, 2)], 1), from: 2, to: 1 });
  const ready = node.raw.ready();
  assert.deepEqual(ready.messages, []);
  assert.equal(ready.write?.messages[0]?.type, "append_response");
});

Deno.test("Paper 5.4.2: a leader never commits entries of earlier terms by counting", () => {
  const node = new LoneNode({ terms: [1, 1] });
  node.lead();
  node.accept(2, 3);
  node.accept(3, 3);
  assert.equal(node.raw.status().commit, 1);
  node.accept(2, 4);
  assert.equal(node.raw.status().commit, 4);
});

Deno.test("Paper 5.5: repeated requests do no harm", () => {
  const node = new LoneNode();
  const message = append(2, 1, 1, [entry(2, 2), entry(3, 2)], 3);
  node.receive(2, message);
  node.receive(2, append(2, 3, 2, [entry(4, 2)], 3));
  node.receive(2, message);
  assert.deepEqual(node.terms(), [2, 2, 2]);
  assert.deepEqual(node.applied, [2, 3]);
});

Deno.test("Paper 7: a snapshot replaces a log that it does not fit to", () => {
  const node = new LoneNode({ terms: [2, 2] });
  const { confState } = node.raw.status();
  const [answer] = only(
    node.receive(2, { type: "snapshot", term: 5, snapshot: { index: 7, term: 4, confState } }),
    "append_response",
  );
  assert.equal(answer?.index, 7);
  const { firstIndex, lastIndex, commit, applied } = node.raw.status();
  assert.deepEqual({ firstIndex, lastIndex, commit, applied }, {
    firstIndex: 8,
    lastIndex: 7,
    commit: 7,
    applied: 7,
  });
});

Deno.test("Paper 7: a snapshot of what the log contains leaves the log alone", () => {
  const node = new LoneNode({ terms: [2, 2, 2] });
  const { confState } = node.raw.status();
  node.receive(2, { type: "snapshot", term: 5, snapshot: { index: 3, term: 2, confState } });
  const { lastIndex, commit } = node.raw.status();
  assert.deepEqual({ lastIndex, commit, applied: node.applied }, {
    lastIndex: 4,
    commit: 3,
    applied: [2, 3],
  });
});

Deno.test("Paper 7: an old snapshot is ignored", () => {
  const node = new LoneNode({ terms: [2, 2, 2], commit: 4 });
  node.drain();
  const { confState } = node.raw.status();
  node.receive(2, { type: "snapshot", term: 5, snapshot: { index: 3, term: 2, confState } });
  assert.deepEqual([node.raw.status().commit, node.raw.status().firstIndex], [4, 2]);
});

Deno.test("Paper 8: a new leader appends a no-op and serves no read before it is committed", () => {
  const node = new LoneNode();
  const [first] = only(node.lead(), "append");
  assert.deepEqual(first?.entries.map(({ index, term, data }) => [index, term, data.length]), [[2, 2, 0]]);
  assert.equal(node.raw.readIndex().ok, true);
  assert.deepEqual(only(node.drain(), "heartbeat"), []);
  assert.ok(only(node.accept(2, 2), "heartbeat").every(({ readRound }) => readRound === 1));
});

Deno.test("Paper 8: a leader answers a read only after a majority confirmed that it leads", () => {
  const node = new LoneNode();
  node.lead();
  node.accept(2, 2);
  node.raw.readIndex();
  node.raw.hasReady();
  assert.deepEqual(node.raw.ready().reads, []);
  node.raw.step({ type: "heartbeat_response", from: 3, to: 1, term: 2, readRound: 1 });
  assert.deepEqual(node.raw.ready().reads.map(({ index }) => index), [2]);
});
