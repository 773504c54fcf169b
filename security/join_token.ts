/**
 * Join tokens: `SWMTKN-1-<root digest>-<secret>`, both in base 36 (SwarmKit).
 *
 * The digest lets a joiner check the root before it sends the secret; the secret decides the role.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { ClusterRootCA } from "../api/cluster.ts";
import { CoveyError } from "../api/errors.ts";
import type { NodeRole } from "../api/node.ts";
import { base36, type Random } from "../api/random.ts";
import { readCertificate } from "./certificate.ts";

const PREFIX = "SWMTKN";
const VERSION = "1";
const DIGEST_LENGTH = 50;
const SECRET_LENGTH = 25;
const SECRET_BYTES = 16;
const BASE36 = /^[0-9a-z]*$/;

/** A join token's parts. */
export interface JoinToken {
  /** SHA-256 of the root certificate's DER, base 36. */
  digest: string;
  /** 128 random bits, base 36. */
  secret: string;
}

/** A new token for the cluster of this root. */
export function createJoinToken(rootCAPEM: string, random: Random): string {
  return [PREFIX, VERSION, rootDigest(rootCAPEM), base36(random.bytes(SECRET_BYTES), SECRET_LENGTH)].join(
    "-",
  );
}

/** New tokens for both roles. */
export function createJoinTokens(rootCAPEM: string, random: Random): ClusterRootCA["JoinTokens"] {
  return { Worker: createJoinToken(rootCAPEM, random), Manager: createJoinToken(rootCAPEM, random) };
}

/** Reads a token; `invalid_argument` says which part is wrong, never showing the secret. */
export function parseJoinToken(token: string): JoinToken {
  const parts = token.trim().split("-");
  if (parts[0] !== PREFIX) malformed(`it does not start with ${PREFIX}-`);
  if (parts[1] !== VERSION) malformed(`its version is ${quoted(parts[1])}, only ${VERSION} is supported`);
  if (parts.length !== 4) malformed(`it has ${parts.length} parts between dashes, 4 are needed`);
  const [, , digest = "", secret = ""] = parts;
  checkPart("root digest", digest, DIGEST_LENGTH);
  checkPart("secret", secret, SECRET_LENGTH);
  return { digest, secret };
}

/** Throws `permission_denied` unless `rootCAPEM` is the root that the token names. */
export function checkRootDigest(token: JoinToken, rootCAPEM: string): void {
  const actual = rootDigest(rootCAPEM);
  if (actual === token.digest) return;
  throw new CoveyError(
    "permission_denied",
    `Cannot trust root CA: its digest is ${actual}, the join token names ${token.digest}; ` +
      "the token is of another cluster or somebody stands in between",
  );
}

/** The role that `token` joins with, or undefined when it is none of the cluster's. Takes constant time. */
export function roleOfJoinToken(token: string, current: ClusterRootCA["JoinTokens"]): NodeRole | undefined {
  const isWorker = sameSecret(token, current.Worker);
  const isManager = sameSecret(token, current.Manager);
  if (isManager) return "manager";
  return isWorker ? "worker" : undefined;
}

/** SHA-256 of a root certificate's DER as tokens write it. */
function rootDigest(rootCAPEM: string): string {
  const digest = createHash("sha256").update(readCertificate(rootCAPEM).der).digest();
  return base36(digest, DIGEST_LENGTH);
}

function sameSecret(given: string, expected: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return expected !== "" && timingSafeEqual(hash(given.trim()), hash(expected));
}

function checkPart(name: string, value: string, length: number): void {
  if (value.length !== length) malformed(`its ${name} has ${value.length} characters, ${length} are needed`);
  if (!BASE36.test(value)) malformed(`its ${name} has characters other than 0-9 and a-z`);
}

function quoted(part: string | undefined): string {
  return part === undefined ? "missing" : JSON.stringify(part.slice(0, 8));
}

function malformed(why: string): never {
  throw new CoveyError("invalid_argument", `Cannot read join token: ${why}`, {
    problems: [{ field: "Token", message: why }],
  });
}
