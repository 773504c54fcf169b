/** How a manager logs: one line an event to standard error, nothing while idle. */
import { configureSync, getLogger, getTextFormatter } from "@logtape/logtape";
import { showableLines } from "./characters.ts";
import { type LogLevel, type LogRecord, setLogSink } from "./log.ts";

/** Sends all log lines from `level` up to standard error, those of `log.ts` too. Call once, at the start of a program. */
export function configureLogging(level: LogLevel = "info"): void {
  const format = getTextFormatter({
    timestamp: "rfc3339",
    category: "/",
    level: "full",
    // Texts are shown as they are, not quoted: messages are sentences. A line break in them must not begin a record.
    value: (value, inspect) =>
      (typeof value === "string" ? value : inspect(value)).replaceAll(/\r?\n|\r/g, "\n    "),
  });
  const encoder = new TextEncoder();
  configureSync({
    sinks: { stderr: (record) => void Deno.stderr.writeSync(encoder.encode(showableLines(format(record)))) },
    loggers: [
      { category: "covey", lowestLevel: level, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
  setLogSink(handOn);
}

function handOn({ category, level, message, properties }: LogRecord): void {
  getLogger([...category] as [string, ...string[]])[level](message, { ...properties });
}
