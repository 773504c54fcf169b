/** Seals a secret for devices, by the keys of their certificates: managers get nothing that they could read. */
import type { NodeSeal } from "../api/dependency.ts";
import { MAX_SEALS } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { digestOf, sealSecret, wrapFor } from "../api/sealed_secret.ts";
import type { NodeView } from "./api_types.ts";
import type { ControlClient } from "./client.ts";
import type { Context } from "./context.ts";

/** What a secret is made of, and what opens it on each device. */
export interface Sealing {
  Data: string;
  Sealed: { ID: string; Labels: Record<string, string> };
  Seals: NodeSeal[];
}

/**
 * `bytes` sealed for all nodes that have `labels`, and says which those are. Throws `failed_precondition` where there is
 * none; one whose key is not known is left out, by name.
 */
export async function sealForNodes(
  client: ControlClient,
  { output }: Context,
  labels: Record<string, string>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Sealing> {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const nodes = await client.get<NodeView[]>("/nodes", { filters: { "node.label": pairs } });
  // What a filter does with a label without a value is its own business.
  const meant = nodes.filter(({ Spec }) =>
    Object.entries(labels).every(([key, value]) => Spec.Labels[key] === value)
  );
  const { id, cipher, dataKey } = await sealSecret(bytes), Seals: NodeSeal[] = [];
  for (const { ID, PublicKey, Description } of meant) {
    const name = Description?.Hostname || ID;
    if (PublicKey === undefined) {
      output.note(`${name} is left out: its key is known once its certificate is renewed\n`);
      continue;
    }
    const key = Uint8Array.fromBase64(PublicKey), PublicKeyDigest = await digestOf(key);
    Seals.push({ NodeID: ID, PublicKeyDigest, Wrapped: (await wrapFor(id, dataKey, key)).toBase64() });
    output.note(`sealed for ${name}, key ${PublicKeyDigest.slice(0, 16)}\n`);
  }
  if (Seals.length === 0) {
    const message = `Cannot seal the secret: no node has the label ${
      pairs.join(", ")
    } and a key that is known`;
    throw new CoveyError("failed_precondition", message, { cause: 404 });
  }
  return { Data: cipher.toBase64(), Sealed: { ID: id, Labels: labels }, Seals };
}

/** The seals that go with the request that makes the secret; {@linkcode sendMore} sends the others. */
export function firstSeals({ Seals, ...rest }: Sealing): Sealing {
  return { ...rest, Seals: Seals.slice(0, MAX_SEALS) };
}

/** Sends what one request does not hold. */
export async function sendMore(client: ControlClient, id: string, { Seals }: Sealing): Promise<void> {
  for (let at = MAX_SEALS; at < Seals.length; at += MAX_SEALS) {
    await client.post(`/secrets/${id}/seals`, { Seals: Seals.slice(at, at + MAX_SEALS) });
  }
}
