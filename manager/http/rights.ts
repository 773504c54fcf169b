/** Which right a request takes. */
import type { Right } from "../control/caller.ts";
import { firstSegment } from "./api_version.ts";

/** What can be read by whoever may see the cluster. Neither `/swarm`, which shows join tokens, nor the engine's. */
const VISIBLE = new Set([
  "_ping",
  "version",
  "info",
  "events",
  "nodes",
  "services",
  "tasks",
  "secrets",
  "configs",
  "variables",
  "networks",
  "metrics",
]);
/** What users of the cluster change. */
const OPERATED = new Set(["services", "secrets", "configs", "variables"]);

/** The right for `method` on `path`, which has no version prefix; what is not known takes the highest. */
export function rightFor(method: string, path: string): Right {
  const kind = firstSegment(path);
  // The swarm's own networks, without those of an engine.
  if (kind === "covey" && path.split("/", 3)[2] === "networks") return isReading(method) ? "view" : "operate";
  if (isReading(method)) return VISIBLE.has(kind) ? "view" : "administer";
  return OPERATED.has(kind) ? "operate" : "administer";
}

function isReading(method: string): boolean {
  return method === "GET" || method === "HEAD";
}
