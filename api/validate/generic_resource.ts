/** The shape of a generic resource, of a node as of a reservation: one kind, counted or named. */
import type { GenericResource } from "../objects.ts";
import { integer, line, record, type Shape } from "./shape.ts";

/** Characters of a kind and of a name: both become names of environment variables, and stand in tables. */
const MAX_WORD_LENGTH = 256;

const word = line(MAX_WORD_LENGTH);

/** A resource that counts at least `min`. */
export function genericResource(min: number): Shape<GenericResource> {
  const shape = record({
    DiscreteResourceSpec: record({ Kind: word, Value: integer(min, Number.MAX_SAFE_INTEGER) }),
    NamedResourceSpec: record({ Kind: word, Value: word }),
  });
  return (value, path, problems) => {
    const before = problems.length;
    const { DiscreteResourceSpec: counted, NamedResourceSpec: named } = shape(value, path, problems) ?? {};
    if (problems.length > before) return undefined;
    if ((counted === undefined) === (named === undefined)) {
      problems.push({ field: path, message: "must have one of DiscreteResourceSpec and NamedResourceSpec" });
    } else if (counted?.Kind !== undefined && counted.Value !== undefined) {
      return { DiscreteResourceSpec: { Kind: counted.Kind, Value: counted.Value } };
    } else if (named?.Kind !== undefined && named.Value !== undefined) {
      return { NamedResourceSpec: { Kind: named.Kind, Value: named.Value } };
    } else problems.push({ field: path, message: "must have a Kind and a Value" });
  };
}
