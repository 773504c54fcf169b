/** Checks the seals of a secret as they come from a client. */
import type { NodeSeal, SealedFor } from "../dependency.ts";
import { MAX_SEALS } from "../dispatcher.ts";
import { CoveyError, type FieldProblem } from "../errors.ts";
import { line, list, record, type Shape, stringMap, text } from "./shape.ts";

/** Characters of a wrapped key in base64: 125 bytes. */
export const MAX_WRAPPED_LENGTH = 168;

const hexadecimal = (bytes: number): Shape<string> => (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined || (found.length === 2 * bytes && /^[0-9a-f]+$/.test(found))) return found;
  problems.push({ field: path, message: `must be ${bytes} bytes in hexadecimal` });
};

const wrapped: Shape<string> = (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined || (found.length === MAX_WRAPPED_LENGTH && /^[A-Za-z0-9+/]+={0,2}$/.test(found))) {
    return found;
  }
  problems.push({ field: path, message: "is no wrapped key" });
};

const sealed = record({ ID: hexadecimal(16), Labels: stringMap }, ["ID", "Labels"]);

/** For whom a secret is sealed. */
export const sealedShape: Shape<SealedFor> = (value, path, problems) => {
  const { ID, Labels } = sealed(value, path, problems) ?? {};
  return ID === undefined || Labels === undefined ? undefined : { ID, Labels };
};

const sealShape = record(
  { NodeID: line(64), PublicKeyDigest: hexadecimal(32), Wrapped: wrapped },
  ["NodeID", "PublicKeyDigest", "Wrapped"],
);
const sealsShape = record({ Seals: list(sealShape, MAX_SEALS) });

/** The seals in a request, which may hold more. Throws `invalid_argument` with every problem. */
export function parseSeals(body: unknown): NodeSeal[] {
  const problems: FieldProblem[] = [];
  const { Seals = [] } = sealsShape(body, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("seal the secret", problems);
  return Seals as NodeSeal[];
}
