/** `/swarm`: starting, joining, changing and leaving a cluster. */
import { ALREADY_IN_SWARM } from "../../../api/docker_texts.ts";
import {
  forcesNewCluster,
  mergeClusterSpec,
  parseClusterSpec,
  parseInitRequest,
  parseJoinRequest,
  parseUnlockRequest,
  signingCAOf,
} from "../../../api/validate/mod.ts";
import { readSigningCA } from "../../../security/mod.ts";
import { requireCluster } from "../../cluster/cluster_object.ts";
import { requireSameRoot, type TokenRole, updateCluster } from "../../control/cluster.ts";
import { defaultClusterSpec } from "../../cluster/new_cluster.ts";
import type { ControlApp, ControlContext } from "../context.ts";
import {
  flagParameter,
  managerForReading,
  readJSON,
  requireManager,
  saysYes,
  sendJSON,
  updateRequest,
} from "../context.ts";
import { DockerError } from "../docker_error.ts";
import { leaveRefusal } from "../leave_refusal.ts";
import { swarmView } from "../views/swarm_view.ts";

/** Longest wait for the agent beside a new manager; the swarm is there also without it. */
const AGENT_WAIT_MS = 20_000;

/** Adds the routes. */
export function swarmRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/swarm", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, swarmView(requireCluster(store)));
  });
  app.get("/swarm/unlockkey", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, { UnlockKey: requireCluster(store).UnlockKey ?? "" });
  });
  app.post("/swarm/unlock", async (c) => {
    await unlock(context, await readJSON(c));
    return c.body(null, 200);
  });
  app.post("/swarm/init", async (c) => sendJSON(c, await init(context, await readJSON(c))));
  app.post("/swarm/join", async (c) => {
    await join(context, await readJSON(c));
    return c.body(null, 200);
  });
  app.post("/swarm/leave", async (c) => {
    const force = saysYes(c, "force");
    const refusal = leaveRefusal(context.lifecycle, force);
    if (refusal !== undefined) return refuse(503, refusal);
    await context.lifecycle.leave(force);
    return c.body(null, 200);
  });
  app.post("/swarm/update", async (c) => {
    const { body, version, manager } = await updateRequest(c, context, "swarm");
    const tokens: TokenRole[] = [];
    if (flagParameter(c, "rotateWorkerToken")) tokens.push("Worker");
    if (flagParameter(c, "rotateManagerToken")) tokens.push("Manager");
    const unlockKey = flagParameter(c, "rotateManagerUnlockKey");
    const changes = parseClusterSpec(body), spec = mergeClusterSpec(defaultClusterSpec(), changes);
    const update = { spec, rotate: { tokens, unlockKey }, signing: signingCAOf(changes) };
    await updateCluster(manager.store, context, version, update);
    return c.body(null, 200);
  });
}

function refuse(status: number, message: string): never {
  throw new DockerError(status, "unavailable", message, "wrong_state");
}

async function unlock(context: ControlContext, body: unknown): Promise<void> {
  const key = parseUnlockRequest(body), { lifecycle } = context;
  if (lifecycle.state === "active" && lifecycle.manager !== undefined) refuse(409, "swarm is not locked");
  if (lifecycle.state !== "locked") requireManager(context);
  await lifecycle.unlock(key);
}

async function init(context: ControlContext, body: unknown): Promise<string> {
  if (context.lifecycle.state !== "inactive" && !forcesNewCluster(body)) refuse(503, ALREADY_IN_SWARM);
  const { AutoLockManagers, ...request } = parseInitRequest(body);
  const { lifecycle } = context, given = parseClusterSpec(request.Spec);
  if (AutoLockManagers) given.EncryptionConfig = { AutoLockManagers };
  // A cluster that goes on keeps what it is not told to change.
  const present = request.ForceNewCluster && lifecycle.manager &&
    requireCluster(lifecycle.manager.store).Spec;
  const Spec = mergeClusterSpec(present || defaultClusterSpec(), given);
  const signing = signingCAOf(given);
  if (present) requireSameRoot(present, Spec, signing);
  // Before anything is begun that would have to be taken back.
  if (signing) readSigningCA(signing, context.clock.now());
  const nodeID = await lifecycle.init({ ...request, Spec, ...(signing && { SigningCA: signing }) });
  await untilDescribed(context);
  return nodeID;
}

/** Waits for the agent beside a new manager to tell of the node, which then is ready. */
async function untilDescribed({ lifecycle, clock }: ControlContext): Promise<void> {
  const { manager, nodeID, hasAgent } = lifecycle;
  if (manager === undefined || !hasAgent) return;
  const isReady = () => manager.store.get("nodes", nodeID)?.Status.State === "ready";
  if (isReady()) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const unsubscribe = manager.store.subscribe(() => isReady() && resolve());
  const cancel = clock.setTimer(AGENT_WAIT_MS, resolve);
  await promise;
  cancel();
  unsubscribe();
}

async function join(context: ControlContext, body: unknown): Promise<void> {
  if (context.lifecycle.state !== "inactive") refuse(503, ALREADY_IN_SWARM);
  const request = parseJoinRequest(body);
  await context.lifecycle.join(request);
}
