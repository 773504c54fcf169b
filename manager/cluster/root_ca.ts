/** Which root issues, which ones are trusted, and how another one comes in. Decision 0190. */
import {
  type Cluster,
  type ClusterRootCA,
  type FormerRoot,
  MAX_FORMER_ROOTS,
  type RootRotation,
  type SigningCA,
} from "../../api/cluster.ts";
import type { Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import {
  createJoinTokens,
  createRootCA,
  crossSign,
  publicKeyDigest,
  readCertificate,
  readSigningCA,
  type RootCA,
} from "../../security/mod.ts";

/** What a change of the root works with. */
interface Context {
  clock: Clock;
  random: Random;
}

/** Who signs node certificates now, with what leads from there to the roots that nodes may still have. */
export function signerOf({ CACert, CAKey, RootRotation, FormerRoots = [] }: ClusterRootCA): RootCA {
  const before = FormerRoots.map(({ CrossSignedCert }) => CrossSignedCert).join("");
  if (RootRotation === undefined) {
    return { certificatePEM: CACert, privateKeyPEM: CAKey, ...(before && { intermediatesPEM: before }) };
  }
  const { CACert: certificatePEM, CAKey: privateKeyPEM, CrossSignedCert } = RootRotation;
  return { certificatePEM, privateKeyPEM, intermediatesPEM: CrossSignedCert + before };
}

/** PEM of the roots whose certificates count, the present one first. */
export function trustedRoots({ RootCA: { CACert, RootRotation } }: Pick<Cluster, "RootCA">): string[] {
  return RootRotation === undefined ? [CACert] : [CACert, RootRotation.CACert];
}

/** PEM of the roots whose certificates may only be renewed. */
export function formerRoots({ RootCA: { FormerRoots = [] } }: Pick<Cluster, "RootCA">): string[] {
  return FormerRoots.map(({ CACert }) => CACert);
}

/** SHA-256 of a root's (PEM) public key, hexadecimal: what a node compares its issuer with. */
export function issuerDigest(rootPEM: string): string {
  return publicKeyDigest(readCertificate(rootPEM).publicKey);
}

/** The root of a new cluster: the user's own, where there is one. Throws `invalid_argument` naming the field. */
export async function firstRoot(signing: SigningCA | undefined, context: Context): Promise<RootCA> {
  return signing ? readSigningCA(signing, context.clock.now()) : await createRootCA(context);
}

/** What is asked of the root. */
export interface RootRequest {
  /** Another root, whichever. */
  force: boolean;
  signing: SigningCA | undefined;
}

/**
 * The authority with another root on its way, which `present` signs across; one that is on its way already is given up for it.
 * The present root, asked for by name, ends a rotation (SwarmKit). `present` itself where nothing is asked. Throws
 * `invalid_argument` naming the field.
 */
export async function withNextRoot(
  present: ClusterRootCA,
  { force, signing }: RootRequest,
  context: Context,
): Promise<ClusterRootCA> {
  if (!force && signing === undefined) return present;
  const next = await firstRoot(signing, context);
  const CAKey = next.privateKeyPEM, { RootRotation, ...rest } = present;
  if (next.certificatePEM === present.CACert) return { ...rest, CAKey };
  if (next.certificatePEM === RootRotation?.CACert) {
    return { ...rest, RootRotation: { ...RootRotation, CAKey } };
  }
  const root = { certificatePEM: present.CACert, privateKeyPEM: present.CAKey };
  const CrossSignedCert = await crossSign(root, next.certificatePEM, context);
  return { ...rest, RootRotation: { CACert: next.certificatePEM, CAKey, CrossSignedCert } };
}

/** The authority once `RootRotation` is through: its root is the root, and join tokens name it. The old key is gone. */
export function withRotationDone(
  present: ClusterRootCA,
  rotation: RootRotation,
  random: Random,
): ClusterRootCA {
  const former: FormerRoot = { CACert: present.CACert, CrossSignedCert: rotation.CrossSignedCert };
  return {
    CACert: rotation.CACert,
    CAKey: rotation.CAKey,
    JoinTokens: createJoinTokens(rotation.CACert, random),
    FormerRoots: [former, ...present.FormerRoots ?? []].filter(({ CACert }) => CACert !== rotation.CACert)
      .slice(0, MAX_FORMER_ROOTS),
  };
}
