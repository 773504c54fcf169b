/** Checks what a node sends of its tasks' logs: its bytes are a program's own and stay as they are; all else is read by shapes. */
import type { FieldProblem } from "../errors.ts";
import {
  entryBytes,
  isLogTime,
  LOG_STREAMS,
  type LogEntry,
  MAX_LOG_DETAILS,
  MAX_LOG_ERROR_LENGTH,
  MAX_LOG_LINE_BYTES,
  MAX_PUSH_BYTES,
  MAX_PUSH_ENTRIES,
} from "../logs.ts";
import { integer, line, list, oneOf, record, type Shape, stringMap, words } from "./shape.ts";

/** Characters of an ID: ours have 25. */
const MAX_ID_LENGTH = 64;
/** Reasons that one push gives. */
const MAX_ERRORS = 32;

const id = line(MAX_ID_LENGTH);

const time: Shape<string> = (value, path, problems) => {
  if (typeof value === "string" && isLogTime(value)) return value;
  problems.push({ field: path, message: "is no time in UTC with nine digits after the point" });
};

const bytes: Shape<Uint8Array> = (value, path, problems) => {
  if (!(value instanceof Uint8Array)) return void problems.push({ field: path, message: "is no bytes" });
  if (value.length <= MAX_LOG_LINE_BYTES) return value;
  const message = `has ${value.length} bytes, at most ${MAX_LOG_LINE_BYTES} are allowed`;
  problems.push({ field: path, message });
};

const details: Shape<Record<string, string>> = (value, path, problems) => {
  const map = stringMap(value, path, problems), count = Object.keys(map ?? {}).length;
  if (count <= MAX_LOG_DETAILS) return map;
  problems.push({ field: path, message: `has ${count} entries, more than ${MAX_LOG_DETAILS}` });
};

const entry = record({
  TaskID: id,
  Stream: oneOf(LOG_STREAMS),
  Time: time,
  Data: bytes,
  Details: details,
  Lost: integer(0),
}, ["TaskID", "Stream", "Time", "Data"]) as Shape<LogEntry>;

const onlyTrue: Shape<true> = (value, path, problems) => {
  if (value === true) return true;
  problems.push({ field: path, message: "can only be true" });
};

const push = record({
  SessionID: id,
  AskID: id,
  Run: id,
  Seq: integer(1),
  Entries: list(entry, MAX_PUSH_ENTRIES),
  CaughtUp: onlyTrue,
  Done: onlyTrue,
  Errors: list(words(MAX_LOG_ERROR_LENGTH), MAX_ERRORS),
}, ["SessionID", "AskID", "Run", "Seq"]);

/** Checks a push; notes every problem. */
export function parseLogPush(value: unknown, problems: FieldProblem[]) {
  const parsed = push(value, "", problems), entries = parsed?.Entries ?? [];
  if (problems.length > 0 || parsed === undefined) return undefined;
  const size = entries.reduce((sum, each) => sum + entryBytes(each), 0);
  // One entry may be larger than all together, as its details count too.
  if (size <= MAX_PUSH_BYTES || entries.length === 1) return parsed;
  problems.push({ field: "Entries", message: `have ${size} bytes, at most ${MAX_PUSH_BYTES} are allowed` });
}
