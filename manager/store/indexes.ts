/** How objects are found other than by ID: one line for every index of every table. */
import { slotKey } from "../../api/task.ts";
import type { Indexes, TableName, Tables } from "./tables.ts";

/** An index: the key of an object (undefined: not in the index) and how a lookup key is normalized. */
export interface IndexSpec<O> {
  key: (object: O) => string | undefined;
  /** Whether two objects have one key, where comparing the keys would cost more. */
  same?: (a: O, b: O) => boolean;
  /** No two objects share a key. */
  unique?: boolean;
  /** Applied to what callers look up. */
  fold?: (key: string) => string;
}

/** Names differ only if they differ in more than case. */
function foldName(name: string): string {
  return name.toLowerCase();
}

const byName = {
  key: (object: { Spec: { Name: string } }) => foldName(object.Spec.Name),
  unique: true,
  fold: foldName,
};

/** The indexes of every table. */
export const INDEXES: { readonly [T in TableName]: Readonly<Record<Indexes[T], IndexSpec<Tables[T]>>> } = {
  clusters: { name: byName },
  nodes: {
    publicKeyDigest: { key: (node) => node.Certificate?.PublicKeyDigest },
  },
  services: { name: byName },
  tasks: {
    serviceID: { key: (task) => task.ServiceID },
    // Those without a node are nobody's to look up, and at times very many.
    nodeID: { key: (task) => task.NodeID || undefined, same: (a, b) => a.NodeID === b.NodeID },
    slot: {
      key: slotKey,
      same: (a, b) =>
        a.ServiceID === b.ServiceID && a.Slot === b.Slot && (a.Slot !== undefined || a.NodeID === b.NodeID),
    },
  },
  secrets: { name: byName },
  configs: { name: byName },
  variables: { name: byName },
  seals: {
    secretID: { key: (seal) => seal.SecretID },
    nodeID: { key: (seal) => seal.NodeID },
  },
  // One that was removed leaves its name to others.
  networks: {
    name: { ...byName, key: (network) => network.RemovedAt === undefined ? byName.key(network) : undefined },
  },
};
