/**
 * What travels of tasks' logs. A manager asks a node by its session's messages ({@linkcode LogAsk}); the node's agent answers
 * by calls that are answered in turn when there is room for more ({@linkcode LogPush}), so that whoever reads slowly holds
 * back the reading of the log, and never the program that writes it.
 */

/** Where a program printed something. */
export type LogStream = "stdout" | "stderr";

/** See {@linkcode LogStream}. */
export const LOG_STREAMS: readonly LogStream[] = ["stdout", "stderr"];

/** Bytes of one entry; a longer line comes in pieces (Docker's size of a piece). */
export const MAX_LOG_LINE_BYTES = 16 * 1024;
/** Entries of one push: with about ten values each far below what a worker's frame may have. */
export const MAX_PUSH_ENTRIES = 1000;
/** Bytes of one push, each entry counted with what its object takes: few round trips, and little to hold. */
export const MAX_PUSH_BYTES = 64 * 1024;
/** What an entry counts for beside its bytes: what its object takes in memory. */
const ENTRY_OVERHEAD_BYTES = 200;
/** Details that an engine adds to an entry (labels and variables named in a log driver's options). */
export const MAX_LOG_DETAILS = 32;
/** Tasks of one ask: with their IDs it stays a small message. Of a service's tasks on one node the newest are taken. */
export const MAX_ASK_TASKS = 500;
/** Asks that a node may have open: each holds up to a push in memory, here and there. */
export const MAX_ASKS_PER_NODE = 16;
/** Characters of why a node has not got a log. */
export const MAX_LOG_ERROR_LENGTH = 500;

/** A line of a task's log with its end, or a piece of one, or a gap where something is missing. */
export interface LogEntry {
  TaskID: string;
  Stream: LogStream;
  /** RFC 3339 in UTC with nine digits after the point, so that texts are ordered as times. */
  Time: string;
  Data: Uint8Array;
  Details?: Record<string, string>;
  /** A gap: so many bytes are lost; 0 if nobody counted them. `Data` is empty then. */
  Lost?: number;
}

/** What a manager wants of the logs of some of a node's tasks. It stands in each session message until it is over. */
export interface LogAsk {
  Kind: "logs";
  ID: string;
  TaskIDs: string[];
  Follow: boolean;
  Streams: LogStream[];
  /** Entries from the end, of all the node's tasks together; all if absent. */
  Tail?: number;
  /** No entries from before; as {@linkcode LogEntry.Time}. */
  Since?: string;
  /** Only entries from after: what an earlier run of the agent has sent. */
  After?: string;
}

/** One step of an answer, in the order of the entries' times. */
export interface LogPush {
  SessionID: string;
  AskID: string;
  /** Names the run of the agent's answer: a new one begins to count anew. */
  Run: string;
  /** 1, 2, …: a push that is sent again, as its answer was lost, is taken once. */
  Seq: number;
  Entries?: LogEntry[];
  /** All that was there when it was asked has come. */
  CaughtUp?: true;
  /** Nothing more will come. */
  Done?: true;
  /** Why something of it is not there, in words. */
  Errors?: string[];
}

/** The answer to a push, when there is room for the next. */
export interface LogPushAnswer {
  /** Nobody wants more. */
  Over?: true;
}

/** What an entry counts for in memory. */
export function entryBytes({ Data, Details }: Pick<LogEntry, "Data" | "Details">): number {
  const details = Details === undefined ? 0 : JSON.stringify(Details).length;
  return Data.length + details + ENTRY_OVERHEAD_BYTES;
}

/** Milliseconds since 1970 as a log shows times. */
export function logTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000000Z");
}

/** `SECONDS[.FRACTION]` since 1970 as a log shows times; undefined for what is no such number. */
export function logTimeOf(seconds: string): string | undefined {
  const [, whole, fraction = ""] = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(seconds) ?? [];
  // The last moment of the year 9999.
  if (whole === undefined || Number(whole) > 253402300799) return undefined;
  return `${new Date(Number(whole) * 1000).toISOString().slice(0, 19)}.${fraction.padEnd(9, "0")}Z`;
}

/** The opposite of {@linkcode logTimeOf}: `SECONDS.NNNNNNNNN`. */
export function secondsOf(time: string): string {
  return `${Date.parse(`${time.slice(0, 19)}Z`) / 1000}.${time.slice(20, 29)}`;
}

/** A time with up to nine digits after the point and any zone, as engines give it, with nine and in UTC; undefined if it is none. */
export function fullTime(given: string): string | undefined {
  const [, second, fraction = "", zone] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(given) ?? [];
  const ms = Date.parse(`${second}${zone}`);
  if (second === undefined || Number.isNaN(ms)) return undefined;
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.padEnd(9, "0")}Z`;
}

/** True for what {@linkcode logTime} gives. */
export function isLogTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/.test(text) && fullTime(text) === text;
}
