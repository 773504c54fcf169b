import assert from "node:assert/strict";
import { LogMerge, MAX_TAIL_BYTES } from "../../api/log_merge.ts";
import {
  entryBytes,
  fullTime,
  isLogTime,
  type LogEntry,
  logTime,
  logTimeOf,
  secondsOf,
} from "../../api/logs.ts";

/** An entry at so many milliseconds, which says `text`. */
function entry(ms: number, text: string, size = 0): LogEntry {
  const Data = new TextEncoder().encode(text.padEnd(size, "."));
  return { TaskID: "t", Stream: "stdout", Time: logTime(ms), Data };
}

/** What there is to take now. */
function taken(merge: LogMerge): string[] {
  const texts: string[] = [];
  for (let next = merge.take(); next; next = merge.take()) {
    texts.push(next.Lost === undefined ? new TextDecoder().decode(next.Data) : `lost ${next.Lost}`);
  }
  return texts;
}

Deno.test("Logs: entries of several sources come in the order of their times", () => {
  const merge = new LogMerge();
  for (const id of ["a", "b"]) merge.add(id);
  merge.push("a", [entry(1, "a1"), entry(4, "a4"), entry(4, "again")]);
  assert.deepEqual(taken(merge), [], "b may have something from before");
  assert.deepEqual([...merge.missing()], ["b"]);
  merge.push("b", [entry(2, "b2"), entry(3, "b3")]);
  assert.deepEqual(taken(merge), ["a1", "b2", "b3"], "b may have something from before 4");
  merge.caughtUp("b");
  assert.deepEqual(taken(merge), ["a4", "again"]);
  assert.deepEqual([merge.size, merge.bytes, merge.isEmpty()], [0, 0, true]);
  // From then on nobody waits for who has nothing.
  merge.caughtUp("a");
  merge.push("a", [entry(9, "late")]);
  assert.deepEqual(taken(merge), ["late"]);
});

Deno.test("Logs: the tail is exact over all sources together", () => {
  const merge = new LogMerge(3);
  for (const id of ["a", "b", "silent"]) merge.add(id);
  merge.push("a", [entry(1, "a1"), entry(5, "a5"), entry(7, "a7")]);
  merge.push("b", [entry(2, "b2"), entry(6, "b6")]);
  for (const id of ["a", "b"]) merge.caughtUp(id);
  assert.deepEqual(taken(merge), []);
  assert.equal(merge.hasCaughtUp, false);
  merge.caughtUp("silent");
  assert.deepEqual(taken(merge), ["a5", "b6", "a7"]);
  assert.equal(merge.hasCaughtUp, true);
  merge.push("b", [entry(8, "b8"), entry(9, "b9")]);
  assert.deepEqual(taken(merge), ["b8", "b9"], "what comes later is not counted");
  const none = new LogMerge(0);
  none.add("a");
  none.push("a", [entry(1, "old")]);
  none.caughtUp("a");
  assert.deepEqual(taken(none), []);
});

Deno.test("Logs: a tail takes bounded memory, and shows what it cost", () => {
  const merge = new LogMerge(1e9);
  merge.add("a");
  const big = entry(1, "x", 16_000), count = Math.ceil(MAX_TAIL_BYTES / entryBytes(big)) + 10;
  for (let i = 0; i < count; i++) {
    merge.push("a", [entry(i, String(i), 16_000)]);
    merge.take();
    assert.ok(merge.bytes <= MAX_TAIL_BYTES);
  }
  merge.caughtUp("a");
  const texts = taken(merge);
  assert.equal(texts[0], "lost 0");
  assert.match(texts.at(-1)!, new RegExp(`^${count - 1}\\.`));
  assert.equal(merge.size, 0);
});

Deno.test("Logs: who leaves is waited for no longer, and what it gave is shown", () => {
  const merge = new LogMerge();
  for (const id of ["a", "b"]) merge.add(id);
  merge.push("a", [entry(3, "a3")]);
  merge.remove("b");
  merge.remove("a");
  assert.deepEqual(taken(merge), ["a3"]);
  merge.push("a", [entry(4, "gone")]);
  assert.deepEqual(taken(merge), []);
});

Deno.test("Logs: times have nine digits and are ordered as texts", () => {
  assert.equal(logTime(1), "1970-01-01T00:00:00.001000000Z");
  assert.equal(logTimeOf("1767225600.5"), "2026-01-01T00:00:00.500000000Z");
  assert.equal(logTimeOf("253402300799"), "9999-12-31T23:59:59.000000000Z");
  for (const wrong of ["", "x", "-1", "1e3", "1.", "253402300800", "9999999999999"]) {
    assert.equal(logTimeOf(wrong), undefined, wrong);
  }
  assert.equal(secondsOf("2026-01-01T00:00:00.500000001Z"), "1767225600.500000001");
  assert.equal(fullTime("2026-01-01T02:00:00.5+02:00"), "2026-01-01T00:00:00.500000000Z");
  assert.equal(fullTime("2026-13-01T00:00:00Z"), undefined);
  assert.ok(isLogTime(logTime(0)));
  for (const wrong of ["2026-01-01T00:00:00Z", "2026-02-31T00:00:00.000000000Z", "x"]) {
    assert.ok(!isLogTime(wrong));
  }
});
