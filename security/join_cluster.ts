/** How a node gets its first certificate, as orchestration over two calls that are handed in. */
import type { IssueNodeCertificateRequest, IssueNodeCertificateResponse } from "../api/ca.ts";
import { Backoff, type BackoffLimits } from "../api/backoff.ts";
import { type Clock, sleep } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import type { NodeAvailability } from "../api/node.ts";
import { createCertificateRequest } from "./certificate_request.ts";
import { checkRootDigest, type JoinToken, parseJoinToken } from "./join_token.ts";
import { assembleIdentity, type NodeIdentity } from "./node_identity.ts";

/** Attempts to fetch the root certificate (SwarmKit). */
const MAX_ROOT_ATTEMPTS = 5;
/** Pause between them (SwarmKit). */
const ROOT_RETRY_MS = 2_000;
/** Pauses before asking again for a certificate (SwarmKit). */
const ISSUE_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 30_000 };
/** Retryable failures in a row before giving up, some three minutes; waiting for acceptance has no limit. */
export const MAX_ISSUE_FAILURES = 10;

/** What a join needs. */
export interface JoinOptions {
  token: string;
  /** Take it from `IdentityStore.pendingKey()`, so that a join cut short does not make a second node. */
  privateKeyPEM: string;
  availability?: NodeAvailability;
  clock: Clock;
  /** Fetches a root certificate (PEM) that `check` does not throw at, from a manager that cannot be trusted yet. */
  getRootCA: (check: (rootCAPEM: string) => void) => Promise<string>;
  /**
   * Sends the request, secret included. Must dial anew and trust only `rootCAPEM`, because whoever answered
   * `getRootCA` may merely have passed on a certificate that anybody can read.
   */
  issueNodeCertificate: (
    request: IssueNodeCertificateRequest,
    rootCAPEM: string,
  ) => Promise<IssueNodeCertificateResponse>;
  signal?: AbortSignal;
}

/**
 * Joins: fetches the root, compares it with the token's digest, and only then sends the token; waits while
 * the node is pending. The caller saves the identity and, without a clock of its own, feeds `notBefore` to
 * the clock floor.
 */
export async function joinCluster(options: JoinOptions): Promise<NodeIdentity> {
  const token = parseJoinToken(options.token);
  const rootCAPEM = await fetchRoot(options, token);
  const CSR = await createCertificateRequest(options.privateKeyPEM);
  const request: IssueNodeCertificateRequest = {
    CSR,
    Token: options.token.trim(),
    ...(options.availability && { Availability: options.availability }),
  };
  const certificateChainPEM = await requestCertificate(options, request, rootCAPEM);
  return assembleIdentity({ rootCAPEM, certificateChainPEM, privateKeyPEM: options.privateKeyPEM });
}

async function fetchRoot(options: JoinOptions, token: JoinToken): Promise<string> {
  const { clock, signal } = options;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    let rootCAPEM: string;
    try {
      rootCAPEM = await options.getRootCA((root) => checkRootDigest(token, root));
    } catch (cause) {
      const isForeign = CoveyError.from(cause).code === "permission_denied";
      if (isForeign) throw cause;
      if (attempt < MAX_ROOT_ATTEMPTS) {
        await sleep(clock, ROOT_RETRY_MS, signal);
        continue;
      }
      const { code, message, retryable } = CoveyError.from(cause, "unavailable");
      throw new CoveyError(code, `Cannot fetch root CA in ${attempt} attempts: ${message}`, {
        cause,
        retryable,
      });
    }
    checkRootDigest(token, rootCAPEM);
    return rootCAPEM;
  }
}

async function requestCertificate(
  options: JoinOptions,
  request: IssueNodeCertificateRequest,
  rootCAPEM: string,
): Promise<string> {
  const { clock, signal } = options;
  let failures = 0;
  const backoff = new Backoff(ISSUE_PAUSE);
  for (;;) {
    signal?.throwIfAborted();
    try {
      const answer = await options.issueNodeCertificate(request, rootCAPEM);
      if (answer.Certificate !== undefined) return answer.Certificate;
      failures = 0;
    } catch (error) {
      if (!CoveyError.from(error).retryable || ++failures === MAX_ISSUE_FAILURES) throw error;
    }
    await sleep(clock, backoff.next(), signal);
  }
}
