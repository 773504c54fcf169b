/** Transactions on nodes (SwarmKit `controlapi/node.go`). */
import { requireCluster } from "../cluster/cluster_object.ts";
import { toMs } from "../../api/duration.ts";
import { type Clock, timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import type { Node, NodeDescription, NodeSpec } from "../../api/node.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { Consensus, Member } from "../consensus/consensus.ts";
import type { Store, WriteTransaction } from "../store/store.ts";
import { deleteSeals } from "../task/seals.ts";
import { dropExpired } from "./cluster.ts";
import { requireVersion } from "./version.ts";

/** Longest wait of a removal for a demotion: a few elections. */
const DEMOTION_WAIT_MS = 5_000;

type Quorum = Pick<Consensus, "status" | "subscribe">;

/** Replaces the spec. Throws `not_found`, `aborted` for a stale version, `failed_precondition` for a promotion that is impossible or a demotion that is unsafe. */
export async function updateNode(
  store: Store,
  members: readonly Member[],
  id: string,
  version: number,
  spec: NodeSpec,
): Promise<void> {
  await store.update((tx) => {
    const node = requireNode(tx, id);
    if (node.Spec.Role === "manager" && spec.Role === "worker") checkDemotion(tx, node, members);
    if (node.Spec.Role === "worker" && spec.Role === "manager") checkPromotion(node);
    requireVersion(node, version);
    tx.update("nodes", { ...node, Spec: spec });
  });
}

/**
 * Takes in what a manager without an agent tells of its node. What an agent that runs has told is left alone. Throws
 * `not_found`, and `failed_precondition` for a node that is no manager.
 */
export async function describeManager(store: Store, id: string, description: NodeDescription): Promise<void> {
  await store.update((tx) => {
    const node = requireNode(tx, id);
    if (node.Role !== "manager") throw new CoveyError("failed_precondition", `node ${id} is not a manager`);
    if (node.Status.State === "ready" || deepEqual(node.Description, description)) return;
    tx.update("nodes", { ...node, Description: description });
  });
}

/** Only a node that runs `run-manager`, be it as a worker, can turn into a manager. */
function checkPromotion({ ID, Description }: Node): void {
  if (!Description?.AgentOnly) return;
  throw new CoveyError(
    "failed_precondition",
    `node ${ID} (${Description.Hostname}) runs an agent only and can't be a manager: start it with run-manager ` +
      "and a worker's token instead of run-agent",
  );
}

/** A quorum must be left, among those reachable, once the node is gone. */
function checkDemotion(tx: WriteTransaction, node: Node, members: readonly Member[]): void {
  const managers = tx.all("nodes").filter((each) => each.Role === "manager");
  if (managers.length === 1 && managers[0]!.ID === node.ID) {
    throw new CoveyError("failed_precondition", "attempting to demote the last manager of the swarm");
  }
  if (!members.some((member) => member.nodeID === node.ID)) {
    throw new CoveyError("not_found", "can't find manager in raft memberlist");
  }
  const left = members.filter((member) => member.nodeID !== node.ID && !member.learner);
  const reachable = left.filter((member) => member.reachable).length;
  if (reachable < Math.floor(left.length / 2) + 1) {
    throw new CoveyError(
      "failed_precondition",
      "can't remove member from the raft: this would result in a loss of quorum",
    );
  }
}

/**
 * Removes a node: its certificate is refused from now on and its tasks are orphaned. Throws `not_found`, and
 * `failed_precondition` for a member of the quorum, or for a node that is up unless `force`.
 */
export async function removeNode(
  store: Store,
  clock: Clock,
  consensus: Quorum,
  id: string,
  force: boolean,
): Promise<void> {
  if (store.get("nodes", id)?.Spec.Role === "worker") await untilLetGo(consensus, clock, id);
  await store.update((tx) => {
    const node = requireNode(tx, id);
    const { members } = consensus.status();
    // A manager that is still being demoted is refused as well: without its node object nobody would take its vote away.
    if (members.some((member) => member.nodeID === id)) {
      throw new CoveyError(
        "failed_precondition",
        `node ${id} is a cluster manager and is a member of the raft cluster. ` +
          (node.Spec.Role === "manager"
            ? "It must be demoted to worker before removal"
            : "It is being demoted, which waits until enough managers are reachable"),
      );
    }
    if (!force && node.Status.State === "ready") {
      throw new CoveyError("failed_precondition", `node ${id} is not down and can't be removed`);
    }
    refuseCertificate(tx, clock, node);
    orphanTasks(tx, clock, id);
    tx.delete("nodes", id);
    deleteSeals(tx, tx.find("seals", "nodeID", id));
  });
}

/** Scripts remove what they have just demoted: the quorum gets the time that it needs to let the node go. */
async function untilLetGo(consensus: Quorum, clock: Clock, id: string): Promise<void> {
  const votes = () => consensus.status().members.some(({ nodeID }) => nodeID === id);
  if (!votes()) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const unsubscribe = consensus.subscribe(() => votes() || resolve());
  const cancel = clock.setTimer(DEMOTION_WAIT_MS, resolve);
  await promise;
  cancel();
  unsubscribe();
}

function refuseCertificate(tx: WriteTransaction, clock: Clock, node: Node): void {
  const cluster = requireCluster(tx);
  // A manager may have signed a certificate for itself that nobody has recorded yet.
  const longest = new Date(clock.now() + toMs(cluster.Spec.CAConfig.NodeCertExpiry)).toISOString();
  const recorded = node.Certificate?.ExpiresAt ?? "";
  tx.update("clusters", {
    ...cluster,
    BlacklistedCertificates: {
      ...dropExpired(cluster.BlacklistedCertificates, clock),
      [node.ID]: Date.parse(recorded) > Date.parse(longest) ? recorded : longest,
    },
  });
}

/** Nobody will report on the node's tasks again, so they end here and free what they hold. */
function orphanTasks(tx: WriteTransaction, clock: Clock, nodeID: string): void {
  for (const task of tx.find("tasks", "nodeID", nodeID)) {
    if (isTerminal(task.Status.State)) continue;
    tx.update("tasks", {
      ...task,
      Status: {
        Timestamp: timestamp(clock),
        State: "orphaned",
        Message: "Task belonged to a node that has been deleted",
      },
    });
  }
}

function requireNode(tx: WriteTransaction, id: string): Node {
  const node = tx.get("nodes", id);
  if (node === undefined) throw new CoveyError("not_found", `node ${id} not found`);
  return node;
}
