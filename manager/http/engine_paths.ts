/** Which requests the swarm answers itself; all others belong to the local container engine. */
import { predefinedNetwork } from "../../api/predefined_network.ts";
import { RESTORE_PATH } from "../../api/backup.ts";
import { withoutVersion } from "./api_version.ts";

const OURS = new Set([
  "_ping",
  "version",
  "info",
  "events",
  "swarm",
  "nodes",
  "services",
  "tasks",
  "secrets",
  "configs",
  "variables",
  "covey",
]);

/** First segments of the Engine API that need a container engine. */
const ENGINES = new Set([
  "auth",
  "build",
  "commit",
  "containers",
  "distribution",
  "exec",
  "grpc",
  "images",
  "networks",
  "plugins",
  "session",
  "system",
  "volumes",
]);

function firstSegment(path: string): string {
  return withoutVersion(path).split("/", 2)[1] ?? "";
}

/** True for a path of the swarm. `target` may carry a version prefix and a query. */
export function isSwarmPath(target: string): boolean {
  const [path = "", query] = target.split("?", 2);
  return OURS.has(firstSegment(path)) || isSwarmNetwork(path, query);
}

/** True for a network that every engine has and the swarm too: by its ID in the swarm, or by name where that is asked for. */
function isSwarmNetwork(path: string, query: string | undefined): boolean {
  const name = /^\/networks\/([^/]+)$/.exec(withoutVersion(path))?.[1];
  const network = name === undefined ? undefined : predefinedNetwork(name);
  return network !== undefined &&
    (name === network.ID || new URLSearchParams(query).get("scope") === "swarm");
}

/** True for a path whose body may be of any length. `target` may carry a version prefix and a query. */
export function isUploadPath(target: string): boolean {
  return withoutVersion(target.split("?", 1)[0]!) === RESTORE_PATH;
}

/** True for a path that only a container engine can answer. */
export function isEnginePath(path: string): boolean {
  return ENGINES.has(firstSegment(path));
}
