/**
 * What a node without a container engine says of the engine's objects: it has none. Clients look for a name among them
 * before they ask for tasks and services.
 */
import { type ControlApp, sendJSON } from "../context.ts";

/** Paths that name an object, without those that only look so, and what Docker says where it is missing. */
const NAMED: readonly [path: RegExp, missing: (name: string) => string][] = [
  [/^\/containers\/(?!(?:json|create|prune)$)([^/]+)/, (name) => `No such container: ${name}`],
  [/^\/exec\/([^/]+)\//, (name) => `No such exec instance: ${name}`],
  [
    /^\/images\/(?!(?:json|create|prune|load|search|get)$)(.+?)(?:\/(?:json|history|push|tag|get))?$/,
    (name) => `No such image: ${/:[^/]*$/.test(name) ? name : `${name}:latest`}`,
  ],
  [/^\/volumes\/(?!(?:create|prune)$)([^/]+)$/, (name) => `get ${name}: no such volume`],
  [
    /^\/plugins\/(?!(?:privileges|pull|create)$)(.+?)(?:\/(?:json|enable|disable|upgrade|push|set))?$/,
    (name) => `plugin "${name}" not found`,
  ],
];

/** Docker's words for an object that a path names and no engine has; undefined for a path that names none. */
function missingObject(path: string): string | undefined {
  for (const [pattern, missing] of NAMED) {
    const name = pattern.exec(path)?.[1];
    if (name !== undefined) return missing(decoded(name));
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Adds the routes; they come after all others. */
export function noEngineRoutes(app: ControlApp): void {
  app.all("*", async (c, next) => {
    const message = missingObject(c.req.path);
    return message === undefined ? await next() : sendJSON(c, { message }, 404);
  });
}
