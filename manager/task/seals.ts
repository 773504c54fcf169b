/** The seals of secrets that only devices can read. */
import { dependenciesOf, type NodeSeal, type Seal, sealID } from "../../api/dependency.ts";
import type { TaskSpec } from "../../api/service.ts";
import type { ReadView, WriteTransaction } from "../store/mod.ts";

/** Writes what opens the present sealing of a secret on a node, in the place of what opened an earlier one. */
export function putSeal(tx: WriteTransaction, SecretID: string, SealID: string, seal: NodeSeal): void {
  const { NodeID, PublicKeyDigest, Wrapped } = seal;
  const before = tx.get("seals", sealID(SecretID, NodeID));
  const next = { SecretID, SealID, NodeID, PublicKeyDigest, Wrapped };
  if (before !== undefined) tx.update("seals", { ...before, ...next });
  else {
    const ID = sealID(SecretID, NodeID);
    tx.create("seals", { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "", ...next });
  }
}

/** Deletes seals whose secret or node is removed. */
export function deleteSeals(tx: WriteTransaction, seals: readonly Seal[]): void {
  for (const { ID } of seals) tx.delete("seals", ID);
}

/** The name of a secret that tasks of `spec` need and that is sealed, but not for this node. */
export function unsealedFor(view: Pick<ReadView, "get">, spec: TaskSpec, nodeID: string): string | undefined {
  const { Secrets } = spec.ContainerSpec ?? spec.ProcessSpec ?? {};
  if (Secrets === undefined) return undefined;
  return dependenciesOf(spec).find(({ Kind, ID }) => {
    const sealed = Kind === "secret" ? view.get("secrets", ID)?.Spec.Sealed : undefined;
    return sealed !== undefined && view.get("seals", sealID(ID, nodeID))?.SealID !== sealed.ID;
  })?.Name;
}
