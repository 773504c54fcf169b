/** The rules of the Raft paper (extended version) and of Ongaro's dissertation on elections, each with its section. */

import assert from "node:assert/strict";
import { LoneNode, only } from "./support/lone_node.ts";

const ask = (term: number, lastIndex: number, lastTerm: number) =>
  ({ type: "vote", term, lastIndex, lastTerm, transfer: false }) as const;

Deno.test("Paper 5.1: a member with a smaller term adopts a larger one, and a leader or candidate steps down", () => {
  for (const role of ["follower", "candidate", "leader"]) {
    const node = new LoneNode();
    if (role === "candidate") node.raw.campaign();
    if (role === "leader") node.lead();
    node.drain();
    node.receive(2, { type: "append", term: 9, prevIndex: 1, prevTerm: 1, entries: [], commit: 1 });
    const { term, role: now, leader } = node.raw.status();
    assert.deepEqual({ term, now, leader }, { term: 9, now: "follower", leader: 2 });
  }
});

Deno.test("Paper 5.1: a message with an old term changes nothing", () => {
  const node = new LoneNode({ terms: [], term: 5 });
  const entries = [{ index: 2, term: 3, type: "normal", data: new Uint8Array(1) }] as const;
  node.receive(2, { type: "append", term: 3, prevIndex: 1, prevTerm: 1, entries, commit: 2 });
  node.receive(2, ask(3, 9, 3));
  const { term, vote, lastIndex, leader } = node.raw.status();
  assert.deepEqual({ term, vote, lastIndex, leader }, { term: 5, vote: 0, lastIndex: 1, leader: 0 });
});

Deno.test("Paper 5.2: members start as followers", () => {
  assert.equal(new LoneNode().raw.status().role, "follower");
});

Deno.test("Paper 5.2: a leader sends heartbeats to all others each interval", () => {
  const node = new LoneNode({ terms: [] }, { heartbeatTicks: 2, electionTicks: 9, checkQuorum: false });
  node.lead();
  assert.deepEqual(only(node.tick(2), "heartbeat").map(({ to }) => to), [2, 3]);
  assert.deepEqual(only(node.tick(1), "heartbeat"), []);
});

Deno.test("Paper 5.2: without a leader a follower starts an election: next term, own vote, requests to all", () => {
  const node = new LoneNode({ terms: [1, 1] });
  const requests = only(node.tick(5), "vote");
  assert.deepEqual(requests.map(({ to, term, lastIndex }) => [to, term, lastIndex]), [[2, 2, 3], [3, 2, 3]]);
  const { role, term, vote } = node.raw.status();
  assert.deepEqual({ role, term, vote }, { role: "candidate", term: 2, vote: 1 });
});

Deno.test("Paper 5.2: votes of a majority make a leader, refusals of a majority end the candidacy", () => {
  const voters = [1, 2, 3, 4, 5];
  for (
    const { answers, role } of [
      { answers: [true], role: "candidate" },
      { answers: [true, true], role: "leader" },
      { answers: [false, false], role: "candidate" },
      { answers: [false, false, false], role: "follower" },
      { answers: [true, false, true], role: "leader" },
    ]
  ) {
    const node = new LoneNode({ terms: [] }, {}, voters);
    node.raw.campaign();
    node.drain();
    answers.forEach((granted, i) => node.receive(i + 2, { type: "vote_response", term: 2, granted }));
    assert.equal(node.raw.status().role, role, JSON.stringify(answers));
  }
});

Deno.test("Paper 5.2: a repeated vote counts once", () => {
  const node = new LoneNode({ terms: [] }, {}, [1, 2, 3, 4, 5]);
  node.raw.campaign();
  node.drain();
  for (let i = 0; i < 3; i++) node.receive(2, { type: "vote_response", term: 2, granted: true });
  assert.equal(node.raw.status().role, "candidate");
});

Deno.test("Paper 5.2: at most one vote in a term, first come first served; the same candidate may ask again", () => {
  const node = new LoneNode();
  const votes = [2, 3, 2].flatMap((from) => only(node.receive(from, ask(2, 1, 1)), "vote_response"));
  assert.deepEqual(votes.map(({ to, granted }) => [to, granted]), [[2, true], [3, false], [2, true]]);
});

Deno.test("Paper 5.2: a candidate that hears a leader of its term follows it", () => {
  const node = new LoneNode();
  node.raw.campaign();
  node.drain();
  node.receive(3, { type: "heartbeat", term: 2, commit: 1, readRound: 0 });
  assert.deepEqual([node.raw.status().role, node.raw.status().leader], ["follower", 3]);
});

Deno.test("Paper 5.2: election timeouts are drawn anew, over the whole range from one to two times electionTicks", () => {
  let draw = 0;
  const node = new LoneNode({ terms: [] }, { electionTicks: 10, random: () => (draw++ * 7 % 10) / 10 });
  const timeouts = new Set<number>();
  for (let round = 0; round < 40; round++) {
    const { term } = node.raw.status();
    let ticks = 0;
    while (node.raw.status().term === term) {
      node.tick(1);
      ticks++;
    }
    timeouts.add(ticks);
  }
  assert.deepEqual([...timeouts].sort((a, b) => a - b), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
});

Deno.test("Paper 5.4.1: a vote is refused to a candidate whose log is less up to date", () => {
  // Own log ends with entry 3 of term 2.
  for (
    const [lastIndex, lastTerm, granted] of [
      [3, 2, true],
      [4, 2, true],
      [2, 3, true],
      [2, 2, false],
      [9, 1, false],
    ] as const
  ) {
    const node = new LoneNode({ terms: [2, 2] });
    const [vote] = only(node.receive(2, ask(5, lastIndex, lastTerm)), "vote_response");
    assert.equal(vote?.granted, granted, `${lastIndex}/${lastTerm}`);
  }
});

Deno.test("Paper figure 2: a vote is stored before it is given", () => {
  const node = new LoneNode();
  node.raw.step({ ...ask(2, 1, 1), from: 2, to: 1 });
  const ready = node.raw.ready();
  assert.deepEqual(ready.messages, []);
  assert.deepEqual(ready.write?.hardState, { term: 2, vote: 2, commit: 1 });
  assert.equal(ready.write?.messages[0]?.type, "vote_response");
});

Deno.test("Paper figure 2: the own vote counts only when it is stored", () => {
  const node = new LoneNode({ terms: [] }, {}, [1]);
  node.raw.campaign();
  const ready = node.raw.ready();
  assert.equal(node.raw.status().role, "candidate");
  node.storage.write(ready.write!);
  node.raw.persisted();
  assert.equal(node.raw.status().role, "leader");
});

Deno.test("Dissertation 3.10: a member told to time out campaigns at once, without asking first", () => {
  const node = new LoneNode({ terms: [] }, { preVote: true });
  node.receive(2, { type: "heartbeat", term: 2, commit: 1, readRound: 0 });
  const votes = only(node.receive(2, { type: "timeout_now", term: 2 }), "vote");
  assert.deepEqual(votes.map(({ term, transfer }) => [term, transfer]), [[3, true], [3, true]]);
});

Deno.test("Dissertation 4.2.3: while a leader is heard of, requests for votes are ignored, but not in a transfer", () => {
  const node = new LoneNode();
  node.receive(2, { type: "heartbeat", term: 2, commit: 1, readRound: 0 });
  assert.deepEqual(node.receive(3, ask(3, 5, 2)), []);
  assert.equal(node.raw.status().term, 2);
  const [vote] = only(node.receive(3, { ...ask(3, 5, 2), transfer: true }), "vote_response");
  assert.equal(vote?.granted, true);
});

Deno.test("Dissertation 6.2: a leader that hears no majority within an election timeout steps down", () => {
  const node = new LoneNode();
  node.lead();
  node.tick(5);
  assert.equal(node.raw.status().role, "leader");
  node.receive(3, { type: "heartbeat_response", term: 2, readRound: 0 });
  node.tick(5);
  assert.equal(node.raw.status().role, "leader");
  node.tick(1);
  assert.equal(node.raw.status().role, "follower");
});

Deno.test("Dissertation 9.6: a pre-vote changes neither the term nor the vote of anybody", () => {
  const node = new LoneNode({ terms: [] }, { preVote: true });
  const requests = only(node.tick(5), "pre_vote");
  assert.deepEqual(requests.map(({ to, term }) => [to, term]), [[2, 2], [3, 2]]);
  assert.equal(node.raw.status().term, 1);
  const [answer] = only(
    node.receive(3, { type: "pre_vote", term: 7, lastIndex: 1, lastTerm: 1, round: 1 }),
    "pre_vote_response",
  );
  assert.deepEqual([answer?.granted, answer?.term, node.raw.status().term, node.raw.status().vote], [
    true,
    7,
    1,
    0,
  ]);
});

Deno.test("Dissertation 9.6: a pre-vote is refused to a log that is less up to date", () => {
  const node = new LoneNode({ terms: [2] });
  const sent = node.receive(3, { type: "pre_vote", term: 7, lastIndex: 5, lastTerm: 1, round: 1 });
  assert.deepEqual(only(sent, "pre_vote_response").map(({ granted, term }) => [granted, term]), [[false, 2]]);
});
