/** `/swarm`: starting, joining, changing and leaving a cluster. */
import type { Hono } from "@hono/hono";
import type { NodeAvailability } from "../../../api/node.ts";
import { ALREADY_IN_SWARM } from "../../../api/docker_texts.ts";
import { CoveyError, type FieldProblem } from "../../../api/errors.ts";
import { isObject, mergeClusterSpec, parseClusterSpec } from "../../../api/validate/mod.ts";
import { requireCluster } from "../../cluster/cluster_object.ts";
import { type TokenRole, updateCluster } from "../../control/cluster.ts";
import { defaultClusterSpec } from "../../cluster/new_cluster.ts";
import type { ControlContext } from "../context.ts";
import {
  flagParameter,
  managerForReading,
  readJSON,
  requireManager,
  sendJSON,
  updateRequest,
} from "../context.ts";
import { DockerError } from "../docker_error.ts";
import { leaveRefusal } from "../leave_refusal.ts";
import { swarmView } from "../views/swarm_view.ts";

/** Adds the routes. */
export function swarmRoutes(app: Hono, context: ControlContext): void {
  app.get("/swarm", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, swarmView(requireCluster(store)));
  });
  app.get("/swarm/unlockkey", (c) => {
    requireManager(context);
    return sendJSON(c, { UnlockKey: "" });
  });
  app.post("/swarm/unlock", (c) => {
    if (context.lifecycle.state !== "locked") return refuse(409, "swarm is not locked");
    throw new CoveyError("unimplemented", `unlocking is not available yet (${c.req.path})`);
  });
  app.post("/swarm/init", async (c) => sendJSON(c, await init(context, await readJSON(c))));
  app.post("/swarm/join", async (c) => {
    await join(context, await readJSON(c));
    return c.body(null, 200);
  });
  app.post("/swarm/leave", async (c) => {
    const force = flagParameter(c, "force");
    const refusal = leaveRefusal(context.lifecycle, force);
    if (refusal !== undefined) return refuse(503, refusal);
    await context.lifecycle.leave(force);
    return c.body(null, 200);
  });
  app.post("/swarm/update", async (c) => {
    const { body, version, manager } = await updateRequest(c, context, "swarm");
    const changes = parseClusterSpec(body);
    const rotate: TokenRole[] = [];
    if (flagParameter(c, "rotateWorkerToken")) rotate.push("Worker");
    if (flagParameter(c, "rotateManagerToken")) rotate.push("Manager");
    if (flagParameter(c, "rotateManagerUnlockKey")) {
      throw new CoveyError("unimplemented", "locking managers is not available yet");
    }
    await updateCluster(manager.store, context, version, { changes, rotate });
    return c.body(null, 200);
  });
}

function refuse(status: number, message: string): never {
  throw new DockerError(status, "unavailable", message, "wrong_state");
}

async function init(context: ControlContext, body: unknown): Promise<string> {
  const request = swarmRequest(body);
  if (context.lifecycle.state !== "inactive" && !request.flag("ForceNewCluster")) {
    refuse(503, ALREADY_IN_SWARM);
  }
  const spec = mergeClusterSpec(defaultClusterSpec(), parseClusterSpec(request.fields.Spec));
  request.finish("start a swarm");
  return await context.lifecycle.init({
    ...request.addresses,
    ...(request.flag("ForceNewCluster") && { ForceNewCluster: true }),
    Spec: spec,
  });
}

async function join(context: ControlContext, body: unknown): Promise<void> {
  const request = swarmRequest(body);
  if (context.lifecycle.state !== "inactive") refuse(503, ALREADY_IN_SWARM);
  const { RemoteAddrs, JoinToken } = request.fields;
  const remotes = Array.isArray(RemoteAddrs)
    ? RemoteAddrs.filter((each) => typeof each === "string" && each)
    : [];
  if (remotes.length === 0) request.problem("RemoteAddrs", "at least 1 RemoteAddr is required to join");
  if (typeof JoinToken !== "string" || JoinToken === "") {
    request.problem("JoinToken", "a join token is required");
  }
  request.finish("join a swarm");
  await context.lifecycle.join({
    ...request.addresses,
    RemoteAddrs: remotes as string[],
    JoinToken: String(JoinToken),
  });
}

/** Fields that init and join share; problems are collected until `finish`. */
function swarmRequest(body: unknown) {
  const problems: FieldProblem[] = [];
  const problem = (field: string, message: string) => void problems.push({ field, message });
  if (!isObject(body)) {
    throw CoveyError.invalid("read the request", [{ field: "body", message: "must be an object" }]);
  }
  const word = (field: string): string | undefined => {
    const value = body[field] ?? "";
    if (typeof value === "string") return value === "" ? undefined : value;
    problem(field, `cannot unmarshal ${Array.isArray(value) ? "array" : typeof value} into string`);
  };
  const ListenAddr = word("ListenAddr");
  const AdvertiseAddr = word("AdvertiseAddr");
  const Availability = word("Availability");
  if (Availability !== undefined && !["active", "pause", "drain"].includes(Availability)) {
    problem("Availability", `invalid Availability: "${Availability}"`);
  }
  for (const field of ["DataPathAddr", "DataPathPort", "DefaultAddrPool"]) {
    const value = body[field];
    const empty = value === undefined || value === null || value === "" || value === 0 ||
      (Array.isArray(value) && value.length === 0);
    if (!empty) problem(field, "overlay networks are not available yet");
  }
  return {
    fields: body,
    addresses: {
      ...(ListenAddr !== undefined && { ListenAddr }),
      ...(AdvertiseAddr !== undefined && { AdvertiseAddr }),
      ...(Availability !== undefined && { Availability: Availability as NodeAvailability }),
    },
    flag: (field: string) => body[field] === true,
    problem,
    finish(action: string) {
      if (problems.length > 0) throw CoveyError.invalid(action, problems);
    },
  };
}
