/** Which right a request takes. */
import type { Right } from "../control/caller.ts";

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
]);
/** What users of the cluster change. */
const OPERATED = new Set(["services", "secrets", "configs", "variables"]);

/** The right for `method` on `path`, which has no version prefix; what is not known takes the highest. */
export function rightFor(method: string, path: string): Right {
  const kind = path.split("/", 2)[1] ?? "";
  if (method === "GET" || method === "HEAD") return VISIBLE.has(kind) ? "view" : "administer";
  return OPERATED.has(kind) ? "operate" : "administer";
}
