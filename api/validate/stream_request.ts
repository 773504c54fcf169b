/** Checks what a client asks of a task. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import {
  MAX_COPY_PATH,
  MAX_EXEC_CHARACTERS,
  MAX_EXEC_WORDS,
  MAX_TERMINAL_SIZE,
  type StreamCall,
  type StreamUse,
  type TerminalSize,
} from "../streams.ts";
import { integer, line, list, oneOf, onlyTrue, record, type Shape, textUpTo } from "./shape.ts";

/** Characters of an ID: ours have 25. */
const MAX_ID_LENGTH = 64;

const size = integer(0, MAX_TERMINAL_SIZE);
const word: Shape<string> = (value, path, problems) =>
  value === "" ? "" : textUpTo(MAX_EXEC_CHARACTERS)(value, path, problems);
const fields = record({
  Kind: oneOf(["exec", "copy", "forward"]),
  Command: list(word, MAX_EXEC_WORDS),
  Terminal: record({ Height: size, Width: size }, ["Height", "Width"]),
  Detach: onlyTrue,
  Path: line(MAX_COPY_PATH),
  Write: onlyTrue,
  Port: integer(1, 65535),
}, ["Kind"]);

/** What a stream is for. Throws `invalid_argument` with every problem. */
export function checkStreamUse(value: unknown): StreamUse {
  const problems: FieldProblem[] = [];
  const use = fields(value, "", problems);
  const found = problems.length === 0 && use ? useOf(use, problems) : undefined;
  if (found) return found;
  throw CoveyError.invalid("open a stream", problems);
}

type Fields = NonNullable<ReturnType<typeof fields>>;

function useOf(use: Fields, problems: FieldProblem[]): StreamUse | undefined {
  const { Kind, Command, Terminal, Detach, Path, Write, Port } = use;
  const missing = (field: string) => void problems.push({ field, message: "is required" });
  if (Kind === "forward") return Port ? { Kind, Port } : missing("Port");
  if (Kind === "copy") return Path ? { Kind, Path, ...(Write && { Write }) } : missing("Path");
  if (!Command?.[0]) return missing("Command");
  const characters = Command.reduce((sum, { length }) => sum + length, 0);
  if (characters > MAX_EXEC_CHARACTERS) {
    const message = `has ${characters} characters, at most ${MAX_EXEC_CHARACTERS} are allowed`;
    return void problems.push({ field: "Command", message });
  }
  return {
    Kind: "exec",
    Command,
    ...(Terminal && { Terminal: Terminal as TerminalSize }),
    ...(Detach && { Detach }),
  };
}

const call = record({ SessionID: line(MAX_ID_LENGTH), StreamID: line(MAX_ID_LENGTH) }, [
  "SessionID",
  "StreamID",
]);

/** What an agent's call begins with; notes every problem. */
export function parseStreamCall(value: unknown, problems: FieldProblem[]): Partial<StreamCall> | undefined {
  return call(value, "", problems);
}
