/** What a node is told in which order, however slowly it takes it. */
import assert from "node:assert/strict";
import { type AssignmentsMessage, MAX_CHANGES_PER_MESSAGE } from "../../../api/dispatcher.ts";
import { AssignmentStream } from "../../../manager/dispatcher/assignment_stream.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testTask } from "./harness.ts";

/** A stream that begins with `count` tasks, and how its next message is taken. */
function opened(count: number) {
  const tasks = Array.from({ length: count }, (_, n) => testTask(`t${n}`, "n1"));
  const stream = new AssignmentStream(new FakeClock(), tasks, 1, {
    kinds: [],
    find: () => undefined,
    network: () => undefined,
    peers: () => [],
    peer: () => undefined,
    seal: () => undefined,
    services: () => [],
    service: () => undefined,
  });
  const messages = stream.messages();
  const next = async () => (await messages.next()).value as AssignmentsMessage;
  const end = async () => {
    stream.end();
    await messages.return();
  };
  return { stream, next, end };
}

const outline = ({ Type, More = false, Changes }: AssignmentsMessage) => [Type, More, Changes.length];

Deno.test("Assignment stream: what changes while the agent takes the complete set is a change, and no complete set of its own", async () => {
  const { stream, next, end } = opened(3);
  const first = await next();
  assert.deepEqual(outline(first), ["complete", false, 3]);
  // The agent is far away: it has not asked for more yet.
  stream.update(testTask("new", "n1"));
  stream.committed(2);
  const second = await next();
  assert.deepEqual([outline(second), second.AppliesTo], [["incremental", false, 1], first.ResultsIn]);
  stream.update(testTask("newer", "n1"));
  stream.committed(3);
  assert.deepEqual(outline(await next()), ["incremental", false, 1]);
  await end();
});

Deno.test("Assignment stream: what changes between two parts of the complete set belongs to it, and its last part always comes", async () => {
  const { stream, next, end } = opened(MAX_CHANGES_PER_MESSAGE + 1);
  assert.deepEqual(outline(await next()), ["complete", true, MAX_CHANGES_PER_MESSAGE]);
  stream.update(testTask("new", "n1"));
  stream.remove(`t${MAX_CHANGES_PER_MESSAGE}`);
  stream.committed(2);
  assert.deepEqual(outline(await next()), ["complete", false, 2]);
  stream.update(testTask("newer", "n1"));
  stream.committed(3);
  assert.deepEqual(outline(await next()), ["incremental", false, 1]);
  await end();
});
