/** What waits for one member: what is said twice is sent once. */
import { deepStrictEqual } from "node:assert/strict";
import { MessageQueue } from "../../../../manager/consensus/peers/message_queue.ts";
import type { Message } from "../../../../manager/raft/mod.ts";
import { FakeClock } from "../../../support/fake_clock.ts";

function append(index: number, count: number): Message {
  const entries = Array.from({ length: count }, (_, i) => {
    return { index: index + i, term: 1, type: "normal" as const, data: new Uint8Array(3) };
  });
  return {
    type: "append",
    from: 1,
    to: 2,
    term: 1,
    prevIndex: index - 1,
    prevTerm: 1,
    entries,
    commit: index - 1,
  };
}

function answer(index: number, rejected = false, term = 1): Message {
  return { type: "append_response", from: 2, to: 1, term, index, rejected, hintIndex: 0, hintTerm: 0 };
}

/** A queue, and what it has sent so far. */
function draining() {
  const clock = new FakeClock();
  const queue = new MessageQueue({ From: 1, To: 2, Addr: "a:1" }, clock);
  const sent: unknown[] = [];
  const done = (async () => {
    for await (const item of queue) {
      if (!("Messages" in item)) continue;
      for (const message of item.Messages as (Message & { entries?: unknown[] })[]) {
        if (message.type === "append") {
          sent.push(`${message.entries.length / 3} entries, commit ${message.commit}`);
        } else if (message.type === "append_response") {
          sent.push(`${message.index}${message.rejected ? " no" : ""}`);
        }
      }
    }
  })();
  const end = async () => {
    queue.end();
    await done;
  };
  return { clock, queue, sent, end };
}

Deno.test("Message queue: of several acknowledgements the newest is sent, and every refusal", async () => {
  const { clock, queue, sent, end } = draining();
  for (const message of [answer(1), answer(2), answer(5), answer(7, true), answer(6), answer(6, false, 2)]) {
    queue.push(message);
  }
  await clock.advance(0);
  deepStrictEqual(sent, ["5", "7 no", "6", "6"]);
  await end();
});

Deno.test("Message queue: news of a commit go at once, more of them wait for entries or a moment", async () => {
  const { clock, queue, sent, end } = draining();
  for (const index of [2, 3, 4]) queue.push(append(index, 0));
  await clock.advance(4);
  deepStrictEqual(sent, ["0 entries, commit 1"]);
  await clock.advance(1);
  deepStrictEqual(sent.splice(0), ["0 entries, commit 1", "0 entries, commit 3"]);

  queue.push(append(5, 0));
  queue.push(append(6, 2));
  await clock.advance(10);
  deepStrictEqual(sent.splice(0), ["2 entries, commit 5"]);
  queue.push(append(8, 0));
  await clock.advance(0);
  deepStrictEqual(sent, ["0 entries, commit 7"]);
  await end();
});

Deno.test("Message queue: under load news of a commit wait for the next entries, but not for long, nor does a reader", async () => {
  const { clock, queue, sent, end } = draining();
  queue.push(append(2, 1));
  await clock.advance(7);
  queue.push(append(3, 1));
  queue.push(append(4, 0));
  await clock.advance(7);
  queue.push(append(4, 1));
  queue.push(append(5, 0));
  await clock.advance(7);
  const entries = [1, 2, 3].map((commit) => `1 entries, commit ${commit}`);
  deepStrictEqual(sent.splice(0), entries, "what is known by the next entries is not sent alone");
  await clock.advance(13);
  deepStrictEqual(sent.splice(0), ["0 entries, commit 4"], "no more entries came");

  queue.push(append(5, 1));
  queue.push(append(6, 1));
  queue.push(append(7, 0));
  queue.push({ type: "read_index_response", from: 1, to: 2, term: 1, id: 1, index: 6 });
  await clock.advance(0);
  deepStrictEqual(sent, ["1 entries, commit 4", "1 entries, commit 5", "0 entries, commit 6"]);
  await end();
});
