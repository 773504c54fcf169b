/** Checks a change of variables as it comes from a client. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import { isVariableName, variableScope } from "../variables.ts";
import { line, list, quoted, record, type Shape, stringMap } from "./shape.ts";

/** Characters of one value: a line of a file of settings, as of a path the longest. */
const MAX_VALUE_LENGTH = 4096;
/** Names in one change: more than a person writes, few enough for one entry of the log. */
const MAX_CHANGES = 1000;

/** What to do with the variables of the fleet, or of one site. */
export interface VariablesChange {
  Scope: string;
  Set: Record<string, string>;
  Remove: string[];
}

const NAME_TEXT =
  "the name of a variable has up to 64 letters, digits and _, and does not begin with a digit";

const name: Shape<string> = (value, path, problems) => {
  const found = line()(value, path, problems);
  if (found === undefined || isVariableName(found)) return found;
  problems.push({ field: path, message: `${NAME_TEXT}: current value is "${quoted(found)}"` });
};

const changeShape = record({ Site: line(), Set: stringMap, Remove: list(name, MAX_CHANGES) });

/** The change that `body` asks for. Throws `invalid_argument` with every problem. */
export function parseVariablesChange(body: unknown): VariablesChange {
  const problems: FieldProblem[] = [];
  const { Site, Set: set = {}, Remove = [] } = changeShape(body, "", problems) ?? {};
  const entries = Object.entries(set);
  if (entries.length > MAX_CHANGES) {
    problems.push({ field: "Set", message: `has ${entries.length} entries, more than ${MAX_CHANGES}` });
  }
  for (const [key, value] of entries.slice(0, MAX_CHANGES)) {
    const field = `Set.${key}`;
    if (!isVariableName(key)) problems.push({ field, message: NAME_TEXT });
    if (value.length > MAX_VALUE_LENGTH) {
      const message = `has ${value.length} characters, at most ${MAX_VALUE_LENGTH} are allowed`;
      problems.push({ field, message });
    }
    if (Remove.includes(key)) problems.push({ field, message: "it is to be set and to be removed" });
  }
  if (problems.length === 0 && entries.length + Remove.length === 0) {
    problems.push({ field: "Set", message: "there is nothing to set and nothing to remove" });
  }
  if (problems.length > 0) throw CoveyError.invalid("change the variables", problems);
  return { Scope: variableScope(Site), Set: set, Remove };
}
