/** Transactions on networks (SwarmKit `controlapi/network.go`), and who still uses them. */
import { type Clock, timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { NetworkSpec } from "../../api/network.ts";
import { clusterNetworks } from "../../api/predefined_network.ts";
import { newID, type Random } from "../../api/random.ts";
import { publishesByIngress } from "../../api/service.ts";
import { isTerminal } from "../../api/task_state.ts";
import { requireCluster } from "../cluster/cluster_object.ts";
import { carve } from "../cluster/carve.ts";
import { ingressNetwork, presentNetworks } from "../cluster/networks.ts";
import { isWanted } from "../task/task.ts";
import type { ReadView, Store } from "../store/mod.ts";
import { type Filters, matchesLabels } from "./filters.ts";

/**
 * Stores a new network with what it gets of the cluster's addresses, and resolves with its ID. Throws `already_exists` for a
 * name that is taken and for a second ingress network, and as `carve` does.
 */
export async function createNetwork(store: Store, random: Random, spec: NetworkSpec): Promise<string> {
  const ID = newID(random);
  await store.update((tx) => {
    if (tx.find("networks", "name", spec.Name).length > 0) {
      throw new CoveyError("already_exists", `network with name ${spec.Name} already exists`);
    }
    const ingress = spec.Ingress && ingressNetwork(tx);
    if (ingress) {
      throw new CoveyError("already_exists", `ingress network (${ingress.ID}) is already present`);
    }
    const share = carve(tx, requireCluster(tx), spec);
    tx.create("networks", { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "", Spec: spec, ...share });
  });
  return ID;
}

/** Removes it. Throws `not_found`, and `failed_precondition` naming who uses it. */
export async function removeNetwork(store: Store, clock: Clock, id: string): Promise<void> {
  await store.update((tx) => {
    const network = tx.get("networks", id);
    if (network === undefined || network.RemovedAt !== undefined) {
      throw new CoveyError("not_found", `network ${id} not found`);
    }
    const user = networkUsers(tx).get(id);
    if (user === undefined) return tx.update("networks", { ...network, RemovedAt: timestamp(clock) });
    throw new CoveyError(
      "failed_precondition",
      network.Spec.Ingress
        ? `ingress network cannot be removed because ${user} depends on it`
        : `network ${id} is in use by ${user}`,
    );
  });
}

/** Removes those of the swarm's networks that nobody uses, but for the ingress network, and resolves with their names. */
export async function pruneNetworks(
  store: Store,
  clock: Clock,
  { filters, until = Infinity }: { filters: Filters; until?: number | undefined },
): Promise<string[]> {
  return await store.update((tx) => {
    const users = networkUsers(tx);
    const unused = presentNetworks(tx).filter((network) => {
      const { ID, Spec: { Ingress, Labels }, CreatedAt } = network;
      return !Ingress && Date.parse(CreatedAt) < until && matchesLabels(filters, "label", Labels) &&
        (!filters.has("label!") || !matchesLabels(filters, "label!", Labels)) && !users.has(ID);
    });
    for (const network of unused) tx.update("networks", { ...network, RemovedAt: timestamp(clock) });
    return unused.map(({ Spec }) => Spec.Name);
  });
}

/**
 * Who uses which network, by its ID: a service, or else a task that a service has left from before it was changed. Each user
 * is named by kind and ID, the first of several.
 */
export function networkUsers(view: ReadView): ReadonlyMap<string, string> {
  const users = new Map<string, string>(), ingress = ingressNetwork(view)?.ID;
  const note = (id: string, user: string) => users.has(id) || users.set(id, user);
  for (const { ID, Spec } of view.all("services")) {
    for (const { Target } of clusterNetworks(Spec.TaskTemplate)) note(Target, `service ${ID}`);
    if (ingress !== undefined && publishesByIngress(Spec)) note(ingress, `service ${ID}`);
  }
  for (const task of view.all("tasks")) {
    if (task.NetworkAttachments === undefined || !isWanted(task) || isTerminal(task.Status.State)) continue;
    if (view.get("services", task.ServiceID) === undefined) continue;
    for (const { NetworkID } of task.NetworkAttachments) note(NetworkID, `task ${task.ID}`);
  }
  return users;
}
