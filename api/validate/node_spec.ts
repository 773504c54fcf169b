/** Normalizes and validates a `NodeSpec` as it comes from a client. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import type { NodeSpec } from "../node.ts";
import { checkSize, line, oneOfFolded, record, stringMap } from "./shape.ts";

/** Bytes of a spec as JSON: every manager holds that of every node, in memory and with each change in its log. */
const MAX_SPEC_BYTES = 32 * 1024;

const nodeShape = record({
  Name: line(),
  Labels: stringMap,
  Role: oneOfFolded(["worker", "manager"], (word) => `invalid Role: "${word}"`),
  Availability: oneOfFolded(["active", "pause", "drain"], (word) => `invalid Availability: "${word}"`),
});

/** The spec to store. Throws `invalid_argument` with every problem. */
export function parseNodeSpec(body: unknown): NodeSpec {
  const problems: FieldProblem[] = [];
  const { Name = "", Labels = {}, Role, Availability } = nodeShape(body, "", problems) ?? {};
  for (const [field, value] of Object.entries({ Role, Availability })) {
    if (value === undefined && !problems.some((problem) => problem.field === field)) {
      problems.push({ field, message: `invalid ${field}: ""` });
    }
  }
  checkSize({ Name, Labels }, "spec", MAX_SPEC_BYTES, problems);
  if (problems.length > 0 || Role === undefined || Availability === undefined) {
    throw CoveyError.invalid("use the node spec", problems);
  }
  return { Name, Labels, Role, Availability };
}
