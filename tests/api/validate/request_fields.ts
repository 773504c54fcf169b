/** The fields of requests as Docker's description of its API lists them. */
import { parse } from "yaml";

interface Schema {
  $ref?: string;
  type?: string;
  enum?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  allOf?: Schema[];
  additionalProperties?: unknown;
}

/** One field that holds a value, by its path: `Ports[].TargetPort`. */
export interface RequestField {
  path: string;
  schema: Schema;
}

const url = new URL("../../manager/http/docker-api-v1.51.yaml", import.meta.url);
const { definitions } = parse(await Deno.readTextFile(url)) as { definitions: Record<string, Schema> };

/** Names that Docker's clients and engine spell otherwise than the description. */
const MISSPELT: Record<string, string> = { HealthCheck: "Healthcheck" };

function resolve(schema: Schema): Schema {
  if (schema.$ref !== undefined) return resolve(definitions[schema.$ref.replace("#/definitions/", "")]!);
  if (schema.allOf === undefined) return schema;
  const parts = schema.allOf.map(resolve), merged: Schema = Object.assign({}, ...parts);
  if (parts.some((part) => part.properties)) {
    merged.properties = Object.assign({}, ...parts.map((part) => part.properties));
  }
  return merged;
}

function* walk(schema: Schema, path: string): Generator<RequestField> {
  const found = resolve(schema);
  const { properties, items } = found;
  if (properties !== undefined) {
    for (const [given, each] of Object.entries(properties)) {
      const name = MISSPELT[given] ?? given;
      yield* walk(each, path === "" ? name : `${path}.${name}`);
    }
  } else if (items !== undefined && resolve(items).properties !== undefined) {
    yield* walk(items, `${path}[]`);
  } else yield { path, schema: found };
}

/** Every field of the definition `name` that is no group of others. */
export function requestFields(name: string): RequestField[] {
  return [...walk({ $ref: `#/definitions/${name}` }, "")];
}

/** A value that a field of `schema` may have and that is nobody's default, so that it says something. */
export function sampleOf(schema: Schema): unknown {
  switch (schema.type) {
    case "integer":
      return 7;
    case "number":
      return 0.5;
    case "boolean":
      return true;
    case "array":
      return [schema.items ? sampleOf(resolve(schema.items)) : "x"];
    case "object":
      return { x: "y" };
  }
  return schema.enum?.findLast((word) => word !== "") ?? "x";
}

/** `value` at `path` of a new object, in the first element of each list. */
export function withField(path: string, value: unknown): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  let at = root;
  const names = path.split(".");
  const last = names.pop()!;
  for (const name of names) {
    const next = {};
    at[name.replace("[]", "")] = name.endsWith("[]") ? [next] : next;
    at = next;
  }
  at[last] = value;
  return root;
}

/** What stands at `path` of `object`, in the first element of each list. */
export function fieldOf(object: unknown, path: string): unknown {
  let at = object;
  for (const name of path.split(".")) {
    at = (at as Record<string, unknown> | undefined)?.[name.replace("[]", "")];
    if (name.endsWith("[]")) at = (at as unknown[] | undefined)?.[0];
  }
  return at;
}
