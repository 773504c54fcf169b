/** Scenario 67: an answer belongs to one read of one incarnation under one leader. */
import assert from "node:assert/strict";
import type { Message } from "../../../manager/raft/mod.ts";
import { LoneNode } from "./support/lone_node.ts";

/** A follower of member `leader` in `term` that asks for a read, and the ID it asks with. */
function asking(leader: number, term: number, node: LoneNode): number {
  node.receive(leader, { type: "heartbeat", term, commit: 1, readRound: 0 });
  const result = node.raw.readIndex();
  assert.ok(result.ok);
  const [request] = node.drain().filter(({ type }) => type === "read_index");
  assert.deepEqual(request && [request.to, (request as Message & { id: number }).id], [leader, result.id]);
  return result.id;
}

/** The reads that an answer lets go on. */
function answered(node: LoneNode, from: number, term: number, id: number): readonly number[] {
  node.raw.step({ type: "read_index_response", from, to: 1, term, id, index: 1 });
  return node.raw.hasReady() ? node.raw.ready().reads.map((read) => read.id) : [];
}

Deno.test("Read index: an answer to a read of before a restart is none to one of after it (scenario 67)", () => {
  const before = asking(2, 2, new LoneNode({ terms: [] }, { random: () => 0.1 }));
  const restarted = new LoneNode({ terms: [] }, { random: () => 0.7 });
  const after = asking(2, 2, restarted);
  assert.notEqual(after, before);
  assert.deepEqual(answered(restarted, 2, 2, before), []);
  assert.deepEqual(answered(restarted, 2, 2, after), [after]);
});

Deno.test("Read index: a read asked of a former leader is lost, and nobody's answer to it counts (scenario 67)", () => {
  const node = new LoneNode({ terms: [] }, { random: () => 0.1 });
  const first = asking(2, 2, node);
  node.raw.step({ type: "heartbeat", from: 3, to: 1, term: 3, commit: 1, readRound: 0 });
  assert.deepEqual(node.raw.ready().lostReads, [first]);
  node.drain();
  const second = asking(3, 3, node);
  assert.notEqual(second, first);
  assert.deepEqual(answered(node, 2, 2, first), []);
  assert.deepEqual(answered(node, 3, 3, first), []);
  assert.deepEqual(answered(node, 2, 3, second), []);
  assert.deepEqual(answered(node, 3, 3, second), [second]);
  assert.deepEqual(answered(node, 3, 3, second), []);
});
