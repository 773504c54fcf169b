/** Which requests the swarm answers itself; all others belong to the local container engine. */
import { RESTORE_PATH } from "../../api/backup.ts";
import { STREAM_PATH } from "../../api/streams.ts";
import { firstSegment, withoutVersion } from "./api_version.ts";

/** Where the swarm's networks are without those of any engine. */
export const SWARM_NETWORKS = "/covey/networks";

/** Where the engine is asked for a container, which may name a network that is not the engine's. */
export const NEW_CONTAINER = "/containers/create";

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
  "networks",
  "variables",
  "metrics",
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

/**
 * True for a path that is answered here, if only by laying what the engine says beside it. `target` may carry a version prefix
 * and a query.
 */
export function isSwarmPath(target: string): boolean {
  const path = withoutVersion(target.split("?", 1)[0]!);
  return OURS.has(firstSegment(path)) || path === NEW_CONTAINER;
}

/** True for a path whose body may be of any length. `target` may carry a version prefix and a query. */
export function isUploadPath(target: string): boolean {
  return withoutVersion(target.split("?", 1)[0]!) === RESTORE_PATH;
}

/** True for a path at which a connection becomes a stream into a task. `target` may carry a version prefix and a query. */
export function isStreamPath(target: string): boolean {
  const [, kind, id, what, ...more] = withoutVersion(target.split("?", 1)[0]!).split("/");
  return kind === "tasks" && id !== "" && what === STREAM_PATH && more.length === 0;
}

/** True for a path that only a container engine can answer. */
export function isEnginePath(path: string): boolean {
  return ENGINES.has(firstSegment(withoutVersion(path)));
}
