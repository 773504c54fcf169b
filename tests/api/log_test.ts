import assert from "node:assert/strict";
import { formatLine, getLogger, type LogRecord, setLogSink } from "../../api/log.ts";

const TIME = new Date("2024-05-06T07:08:09.010Z");

function line(message: string, properties: Record<string, unknown> = {}): string {
  return formatLine({ category: ["covey", "agent"], level: "warning", message, properties }, TIME);
}

Deno.test("Log: a line has time, level, category and the message with its properties", () => {
  assert.equal(
    line("Node {nodeID} waits {ms} ms: {error}", { nodeID: "n1", ms: 5, error: new Error("no route") }),
    "2024-05-06T07:08:09.010Z [warning] covey/agent: Node n1 waits 5 ms: Error: no route\n",
  );
  assert.match(line("{known} {unknown}", { known: { a: 1 } }), /: \{"a":1\} \{unknown\}\n$/);
});

Deno.test("Log: what a peer sent cannot start a line of its own", () => {
  assert.match(
    line("{message}", { message: "x\r\n2024 [error] covey: forged\x1b[2J" }),
    /: x 2024 .* \[2J\n$/,
  );
});

Deno.test("Log: a logger made before there is a sink reaches it", () => {
  const logger = getLogger(["covey", "test"]), records: LogRecord[] = [];
  setLogSink((record) => records.push(record));
  logger.warn("first {n}", { n: 1 });
  logger.debug("second");
  setLogSink(() => {});
  assert.deepEqual(records, [
    { category: ["covey", "test"], level: "warning", message: "first {n}", properties: { n: 1 } },
    { category: ["covey", "test"], level: "debug", message: "second", properties: {} },
  ]);
});
