/** Which requests the leader answers, and how they get there. */
import type { Context } from "@hono/hono";
import { CoveyError } from "../../api/errors.ts";
import type { ManagerHandle } from "../lifecycle.ts";
import { DockerError, NO_LEADER } from "./docker_error.ts";

/** First segments of what the whole swarm has in common. `/events` is not: it also tells of the local engine. */
const SHARED = new Set(["swarm", "nodes", "services", "tasks", "secrets", "configs"]);
/** What is about this node's own membership. */
const OWN = new Set(["/swarm/init", "/swarm/join", "/swarm/leave", "/swarm/unlock"]);

/** True for a path, without version prefix, that the leader answers. */
export function isLeadersPath(path: string): boolean {
  return SHARED.has(path.split("/", 2)[1] ?? "") && !OWN.has(path);
}

/** The leader's response; undefined if this manager leads. Throws Docker's errors if there is no leader. */
export async function handOn(c: Context, manager: ManagerHandle): Promise<Response | undefined> {
  if (manager.consensus.status().isLeader) return undefined;
  const { method, url, headers } = c.req.raw;
  try {
    return await manager.forward({
      Method: method,
      Path: url.slice(url.indexOf("/", url.indexOf("://") + 3)),
      Headers: [...headers],
      Body: new Uint8Array(await c.req.arrayBuffer()),
    });
  } catch (thrown) {
    throw translated(CoveyError.from(thrown));
  }
}

/** gRPC's codes as moby prints them: SwarmKit reports a missing leader as an error without a code of its own. */
function translated(error: CoveyError): CoveyError {
  const { code, message, retryable } = error;
  if (code === "unavailable") {
    const name = message === NO_LEADER ? "Unknown" : "Unavailable";
    return new DockerError(503, code, `rpc error: code = ${name} desc = ${message}`);
  }
  if (code === "unknown") return new DockerError(500, code, `rpc error: code = Unknown desc = ${message}`);
  if (code === "resource_exhausted") return new DockerError(retryable ? 503 : 413, code, message);
  return error;
}
