/** Docker's Engine API description (Swagger 2.0) as validators of responses. */
import { Ajv, type ValidateFunction } from "ajv";
import { parse } from "yaml";

export type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A Swagger 2.0 schema as JSON Schema: `x-nullable` becomes a choice, references point into the common document. */
function toJSONSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toJSONSchema);
  if (!isObject(value)) return value;
  const { example: _example, examples: _examples, format: _format, "x-nullable": nullable, ...rest } = value;
  const out: Json = Object.fromEntries(Object.entries(rest).map(([key, each]) => [key, toJSONSchema(each)]));
  if (typeof out.$ref === "string") out.$ref = out.$ref.replace("#/definitions", "docker#/definitions");
  return nullable === true ? { anyOf: [{ type: "null" }, out] } : out;
}

const document = parse(await Deno.readTextFile(new URL("./docker-api-v1.51.yaml", import.meta.url))) as {
  definitions: Json;
  paths: Record<string, Record<string, { responses: Record<string, { schema?: Json }> }>>;
};
/** The engine has these states, its description of 1.51 forgot them. */
const ROLLBACK_STATES = ["rollback_started", "rollback_paused", "rollback_completed"];
const service = document.definitions.Service as {
  properties: { UpdateStatus: { properties: { State: { enum: string[] } } } };
};
service.properties.UpdateStatus.properties.State.enum.push(...ROLLBACK_STATES);

/** A part of the description. */
export interface Schema {
  type?: string;
  enum?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  $ref?: string;
  allOf?: Schema[];
}

/** The schema that a reference names, or the one given. */
export function schemaOf(schema: Schema): Schema {
  const reference = schema.$ref ?? schema.allOf?.[0]?.$ref;
  if (reference === undefined) return schema;
  return document.definitions[reference.replace("#/definitions/", "")] as Schema;
}

/** What the engine answers with null where its description does not say so. */
const NULLABLE = [
  ["TaskSpec", "ContainerSpec", "Privileges", "CredentialSpec"],
  ["TaskSpec", "ContainerSpec", "Privileges", "SELinuxContext"],
  ["ServiceUpdateResponse", "Warnings"],
] as const;
for (const [name, ...path] of NULLABLE) {
  let schema = document.definitions[name] as Json;
  for (const key of path) schema = (schema.properties as Record<string, Json>)[key]!;
  schema["x-nullable"] = true;
}

const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ $id: "docker", definitions: toJSONSchema(document.definitions) });
const compiled = new Map<string, ValidateFunction>();

/** `/nodes/abc` as the description writes it: `/nodes/{id}`. */
function templateOf(path: string): string | undefined {
  const given = path.split("?", 1)[0]!.split("/");
  const exact = Object.keys(document.paths).find((each) => each === given.join("/"));
  return exact ?? Object.keys(document.paths).find((template) => {
    const parts = template.split("/");
    return parts.length === given.length &&
      parts.every((part, i) => part.startsWith("{") || part === given[i]);
  });
}

/** What is wrong with a response according to the description; empty if nothing. An undescribed path or status is wrong. */
export function responseProblems(method: string, path: string, status: number, json: unknown): string[] {
  const template = templateOf(path);
  const operation = template && document.paths[template]?.[method.toLowerCase()];
  if (!operation) return status === 404 ? [] : [`${method} ${path} is not described`];
  const response = operation.responses[status];
  if (response === undefined) {
    // Errors that any path may answer are described only for some.
    if (status >= 400) return check("error", { $ref: "#/definitions/ErrorResponse" }, json);
    return [`${method} ${template} is not described with status ${status}`];
  }
  if (response.schema === undefined) return json === undefined ? [] : [`${method} ${template} has a body`];
  return check(`${method} ${template} ${status}`, response.schema, json);
}

function check(name: string, schema: Json, json: unknown): string[] {
  let validate = compiled.get(name);
  if (validate === undefined) compiled.set(name, validate = ajv.compile(toJSONSchema(schema) as Json));
  return validate(json)
    ? []
    : (validate.errors ?? []).map((error) => `${name}${error.instancePath} ${error.message}`);
}
