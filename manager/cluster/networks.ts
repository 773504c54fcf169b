/** The cluster's networks as those that were not removed. */
import type { Network } from "../../api/network.ts";
import type { Node } from "../../api/node.ts";
import { RELAY_OPTION } from "../../api/relay.ts";
import type { ReadView } from "../store/store.ts";

/** The networks that were not removed, in the order of their creation. */
export function presentNetworks(view: ReadView): Network[] {
  return view.all("networks").filter((each) => each.RemovedAt === undefined);
}

/** The network by which published ports reach tasks. */
export function ingressNetwork(view: ReadView): Network | undefined {
  return presentNetworks(view).find(({ Spec }) => Spec.Ingress);
}

/**
 * The address that a node has at its site, behind an address that it shares with others there; undefined for one that is
 * reached by its own. Who was told an address for networks is reached by that.
 */
export function addressAtSite({ Description, Status }: Node): string | undefined {
  const { LocalAddr, DataPathAddr } = Description ?? {};
  return DataPathAddr === undefined && LocalAddr !== Status.Addr && Status.Addr !== ""
    ? LocalAddr
    : undefined;
}

/** True for a network whose connections a manager may pass on. */
export function allowsRelay({ Spec: { Options = {} } }: Network): boolean {
  return Object.hasOwn(Options, RELAY_OPTION) && Options[RELAY_OPTION] === "on";
}
