/**
 * The log as every part sees it: a logger a part, one place where the records go. It imports next to nothing, because an
 * agent has no memory to spare (docs/decisions/0040-agent-memory.md); a program with more to do hands records on (`logging.ts`).
 */

import { showable } from "./characters.ts";

const LEVELS = ["debug", "info", "warning", "error"] as const;

/** How much a record matters, rising. */
export type LogLevel = typeof LEVELS[number];

/** One event. `{name}` in `message` stands for the property of that name. */
export interface LogRecord {
  category: readonly string[];
  level: LogLevel;
  message: string;
  properties: Readonly<Record<string, unknown>>;
}

/** Takes records; must not throw. */
export type LogSink = (record: LogRecord) => void;

type Log = (message: string, properties?: Readonly<Record<string, unknown>>) => void;

/** What a part logs with. */
export interface Logger {
  debug: Log;
  info: Log;
  warn: Log;
  error: Log;
}

let sink: LogSink | undefined;

/** Sends every record to `to` from here on; until the first call nothing is logged. Call at the start of a program. */
export function setLogSink(to: LogSink): void {
  sink = to;
}

/** The logger of `category`, for instance `["covey", "agent"]`; may be made before there is a sink. */
export function getLogger(category: readonly string[]): Logger {
  const at = (level: LogLevel): Log => (message, properties = {}) =>
    sink?.({ category, level, message, properties });
  return { debug: at("debug"), info: at("info"), warn: at("warning"), error: at("error") };
}

/** Writes records from `lowest` up to standard error, a line each. */
export function lineSink(lowest: LogLevel = "info"): LogSink {
  const encoder = new TextEncoder();
  return (record) => {
    if (LEVELS.indexOf(record.level) < LEVELS.indexOf(lowest)) return;
    Deno.stderr.writeSync(encoder.encode(formatLine(record, new Date())));
  };
}

/** `TIME [level] category: message`, in one line whatever the properties hold. */
export function formatLine({ category, level, message, properties }: LogRecord, time: Date): string {
  const text = message.replace(
    /\{(\w+)\}/g,
    (slot, name) => Object.hasOwn(properties, name) ? show(properties[name]) : slot,
  );
  // What a peer sent must not look like a record of its own.
  return `${time.toISOString()} [${level}] ${category.join("/")}: ${showable(text)}\n`;
}

function show(value: unknown): string {
  return typeof value === "object" && !(value instanceof Error) ? JSON.stringify(value) : String(value);
}
