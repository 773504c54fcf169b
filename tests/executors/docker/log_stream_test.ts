/** What an engine gives of a container's log, in the orders in which it may stand there. */
import assert from "node:assert/strict";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { containerLog } from "../../../executors/docker/log_stream.ts";
import type { LogRequest } from "../../../executors/executor.ts";
import { secondsOf } from "../../../api/logs.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { fakeEngine } from "./fake_engine.ts";

type Line = [stream: 1 | 2, time: string, text: string];

const at = (second: string) => `2026-01-01T00:00:${second.padEnd(12, "0")}Z`;

function frame([stream, time, text]: Line): Uint8Array {
  const entry = new TextEncoder().encode(`${time}  ${text}`);
  const all = new Uint8Array(8 + entry.length);
  all[0] = stream;
  new DataView(all.buffer).setUint32(4, entry.length);
  all.set(entry, 8);
  return all;
}

/** What is read of a log that has `past`, and `future` once somebody follows it; the engine selects as a real one does. */
async function read(past: Line[], future: Line[], request: Partial<LogRequest>): Promise<string[]> {
  const log = [...past];
  const engine = await fakeEngine((request, route) => {
    if (route.endsWith("/json")) return Response.json({ Config: { Tty: false } });
    const query = new URL(request.url).searchParams, tail = query.get("tail") ?? "all";
    if (query.get("follow")) log.push(...future);
    const chosen = log.filter(([, time]) => secondsOf(time) >= (query.get("since") ?? ""));
    const from = tail === "all" ? 0 : Math.max(0, chosen.length - Number(tail));
    return new Response(new Blob(chosen.slice(from).map((line) => frame(line) as Uint8Array<ArrayBuffer>)));
  });
  const client = new EngineClient(engine.socket), seen: string[] = [];
  const clock = new FakeClock(Date.parse(at("30.")));
  const wanted: LogRequest = { streams: ["stdout", "stderr"], follow: false, ...request };
  try {
    for await (const step of containerLog(client, "c", wanted, clock, new AbortController().signal)) {
      seen.push(step === "caught up" ? "--" : new TextDecoder().decode(step.Data));
    }
  } finally {
    client.close();
    await engine.close();
  }
  return seen;
}

Deno.test("Container log: an error that the engine wrote after a later line is not left out", async () => {
  const past: Line[] = [[1, at("01.2"), "a"], [1, at("01.3"), "b"], [2, at("01.25"), "oops"]];
  assert.deepEqual(await read(past, [], {}), ["a", "b", "oops", "--"]);
  assert.deepEqual(await read(past, [], { follow: true }), ["a", "b", "oops", "--"]);
});

Deno.test("Container log: who follows it gets what was stamped before and written after, and nothing twice", async () => {
  const past: Line[] = [[2, at("01.1"), "warn"], [1, at("01.2"), "a"], [1, at("01.3"), "b"]];
  const future: Line[] = [[2, at("01.25"), "oops"], [1, at("01.4"), "c"]];
  const all = ["warn", "a", "b", "--", "oops", "c"];
  assert.deepEqual(await read(past, future, { follow: true }), all);
  assert.deepEqual(await read(past, future, { follow: true, tail: 10 }), all);
  assert.deepEqual(await read(past, future, { follow: true, tail: 1 }), ["b", "--", "c"]);
  assert.deepEqual(await read(past, future, { follow: true, tail: 2 }), ["a", "b", "--", "oops", "c"]);
  assert.deepEqual(await read(past, future, { follow: true, tail: 0 }), ["--"]);
  assert.deepEqual(await read(past, future, { follow: true, since: at("01.2") }), [
    "a",
    "b",
    "--",
    "oops",
    "c",
  ]);
  assert.deepEqual(await read(past, future, { follow: true, after: at("01.2") }), ["b", "--", "oops", "c"]);
  assert.deepEqual(await read([], future, { follow: true }), ["--", "oops", "c"]);
  assert.deepEqual(await read([], [[1, at("31."), "late"]], { follow: true, tail: 0 }), ["--", "late"]);
});

Deno.test("Container log: the pieces of a long line have one time, and all of them are shown", async () => {
  const pieces: Line[] = ["x", "y", "z"].map((text) => [1, at("02."), text]);
  assert.deepEqual(await read(pieces, [], { follow: true }), ["x", "y", "z", "--"]);
  assert.deepEqual(await read(pieces.slice(0, 2), pieces.slice(2), { follow: true }), ["x", "y", "--", "z"]);
  const long: Line[] = [[2, at("03."), "l".repeat(20_000)]];
  assert.equal((await read(long, [], {})).join("").length, 20_000 + 2);
});
