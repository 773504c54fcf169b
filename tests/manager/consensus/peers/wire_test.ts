import assert from "node:assert/strict";
import { hasCode } from "../../../../api/errors.ts";
import { decodeHello, decodeMessage } from "../../../../manager/consensus/peers/wire.ts";

const heartbeat = { type: "heartbeat", from: 1, to: 2, term: 3, commit: 4, readRound: 5 };
const append = {
  type: "append",
  from: 1,
  to: 2,
  term: 3,
  prevIndex: 4,
  prevTerm: 3,
  commit: 4,
  entries: [3, 0, Uint8Array.of(1)],
};

function refused(run: () => unknown, what: string): void {
  assert.throws(run, (error) => hasCode(error, "invalid_argument"), what);
}

Deno.test("Raft wire: numbers are exact and none is negative, whatever the field", () => {
  assert.deepEqual(decodeMessage(heartbeat), heartbeat);
  for (const field of ["from", "to", "term", "commit", "readRound"]) {
    for (const wrong of [NaN, -1, 1.5, Infinity, 2 ** 53, 5n, "5", null, undefined, {}]) {
      refused(() => decodeMessage({ ...heartbeat, [field]: wrong }), `${field}: ${String(wrong)}`);
    }
  }
});

Deno.test("Raft wire: what every object or list has besides is neither a type of message nor one of entry", () => {
  for (const type of ["constructor", "toString", "__proto__", { toString: 1 }, 7]) {
    refused(() => decodeMessage({ ...heartbeat, type }), "type");
  }
  assert.equal(decodeMessage(append).type, "append");
  for (const type of ["length", "constructor", -1, 2, 0.5]) {
    refused(
      () => decodeMessage({ ...append, entries: [3, type, Uint8Array.of(1)] }),
      `entry of type ${type}`,
    );
  }
});

Deno.test("Raft wire: an address that is shown and dialled holds no control characters", () => {
  assert.equal(decodeHello({ From: 1, To: 2, Addr: "m1:2377" }).Addr, "m1:2377");
  for (const Addr of ["m1\x1b[2J:2377", "\u202em1:2377", `${"a".repeat(300)}:1`, 5]) {
    refused(() => decodeHello({ From: 1, To: 2, Addr }), String(Addr));
  }
});
