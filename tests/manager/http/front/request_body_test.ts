import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { BodyBudget } from "../../../../manager/http/front/body_budget.ts";
import { MAX_BODY_BYTES, readBody } from "../../../../manager/http/front/request_body.ts";
import type { RequestHead } from "../../../../manager/http/front/request_head.ts";
import { SocketReader } from "../../../../manager/http/front/socket_reader.ts";
import { collectGarbage } from "../../../support/gc.ts";

const encoder = new TextEncoder();
const CHUNKED: RequestHead = {
  method: "POST",
  target: "/x",
  headers: [],
  length: undefined,
  keepAlive: true,
  expectsContinue: false,
};

/** A reader of `text`, `times` over, then of `last`. */
function readerOf(text: string, times: number, last: string): SocketReader {
  const block = encoder.encode(text.repeat(1000));
  const pieces: Uint8Array[] = [...new Array(times / 1000).fill(block), encoder.encode(last)];
  let at = 0;
  return new SocketReader({
    read(into) {
      while (pieces.length > 0 && at === pieces[0]!.length) {
        pieces.shift();
        at = 0;
      }
      if (pieces.length === 0) return Promise.resolve(null);
      const bytes = pieces[0]!.subarray(at, at + into.length);
      into.set(bytes);
      at += bytes.length;
      return Promise.resolve(bytes.length);
    },
  });
}

const read = (reader: SocketReader, budget = new BodyBudget()) =>
  readBody(reader, CHUNKED, budget.buffer(MAX_BODY_BYTES, () => {}));

Deno.test("Request body: many small chunks take no more than their bytes", async () => {
  const body = await read(readerOf("1\r\na\r\n", 3000, "0\r\n\r\n"));
  assert.equal(new TextDecoder().decode(body), "a".repeat(3000));
  collectGarbage();
  const before = Deno.memoryUsage();
  const whole = await read(readerOf("1\r\nb\r\n", 200_000, "0\r\n\r\n"));
  collectGarbage();
  const { heapUsed, external } = Deno.memoryUsage();
  assert.equal(whole.length, 200_000);
  const grown = heapUsed + external - before.heapUsed - before.external;
  assert.ok(grown < 4_000_000, `${grown} bytes for ${whole.length}`);
});

Deno.test("Request body: however small its chunks, others have their turn in between", async () => {
  let turns = 0, going = true;
  const count = () => {
    turns++;
    if (going) setImmediate(count);
  };
  setImmediate(count);
  await read(readerOf("1\r\na\r\n", 10_000, "0\r\n\r\n"));
  going = false;
  assert.ok(turns > 100, `${turns} turns`);
  await new Promise<void>((resolve) => setImmediate(resolve));
});

Deno.test("Request body: endless chunks and trailers are refused", async () => {
  await assert.rejects(read(readerOf("1\r\na\r\n", 300_000, "")), { message: /more than 262144 chunks/ });
  await assert.rejects(read(readerOf("", 0, "0\r\n" + "X-A: b\r\n".repeat(100))), { message: /64 trailers/ });
});

Deno.test("Body budget: who has been at it for longest gives way, a whole body never does", () => {
  const budget = new BodyBudget(100_000), dropped: string[] = [];
  const buffer = (name: string) => budget.buffer(MAX_BODY_BYTES, () => dropped.push(name));
  const [whole, slow, slower] = [buffer("whole"), buffer("slow"), buffer("slower")];
  whole.append(new Uint8Array(30_000));
  whole.finish();
  slow.append(new Uint8Array(30_000));
  slower.append(new Uint8Array(30_000));
  const late = buffer("late");
  late.append(new Uint8Array(20_000));
  assert.deepEqual(dropped, ["slow"]);
  late.append(new Uint8Array(40_000));
  assert.deepEqual(dropped, ["slow", "slower"]);
  assert.throws(() => late.append(new Uint8Array(60_000)), { status: 503, message: /bodies of \d+ bytes/ });
  for (const each of [whole, slow, slower, late]) each.release();
  buffer("next").append(new Uint8Array(100_000));
});
