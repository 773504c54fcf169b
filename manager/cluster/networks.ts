/** The cluster's networks as those that were not removed. */
import type { Network } from "../../api/network.ts";
import type { ReadView } from "../store/store.ts";

/** The networks that were not removed, in the order of their creation. */
export function presentNetworks(view: ReadView): Network[] {
  return view.all("networks").filter((each) => each.RemovedAt === undefined);
}

/** The network by which published ports reach tasks. */
export function ingressNetwork(view: ReadView): Network | undefined {
  return presentNetworks(view).find(({ Spec }) => Spec.Ingress);
}
