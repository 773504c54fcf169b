/** The CA's two calls over the transport: how a node that joins, or renews, talks to any manager it knows. */
import {
  CA_METHODS,
  type GetRootCACertificateResponse,
  type IssueNodeCertificateRequest,
  type IssueNodeCertificateResponse,
} from "../api/ca.ts";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { tlsDialer } from "../transport/tls_dialer.ts";
import type { CallOptions, Connection, TLSMaterial, VerifyPeer } from "../transport/types.ts";
import type { NodeIdentity } from "./node_identity.ts";
import { verifyPeerChain } from "./verify_peer_chain.ts";

/** Wait for a manager to answer one call (SwarmKit: 5 s; signing on a small board takes longer). */
const CALL_TIMEOUT_MS = 10_000;
/** It is doubled up to this where none answered in time: they may be far away, and slow. */
const MAX_CALL_TIMEOUT_MS = 40_000;

/** Options of {@linkcode RemoteCA}. */
export interface RemoteCAOptions {
  /** Managers to ask, in order, HOST:PORT; asked for at each call. */
  addresses: () => readonly string[];
  clock: Clock;
}

/** Asks the managers one after another until one answers. */
export class RemoteCA {
  readonly #options: RemoteCAOptions;
  #timeoutMs = CALL_TIMEOUT_MS;

  constructor(options: RemoteCAOptions) {
    this.#options = options;
  }

  /**
   * The root certificate (PEM) of whoever answers, and is one that `check` takes: the join token's digest says which. Whoever
   * answers with another one is passed over.
   */
  async getRootCA(check: (rootCAPEM: string) => void, signal?: AbortSignal): Promise<string> {
    return await this.#ask(
      async (connection, options) => {
        const answer = await connection.call<GetRootCACertificateResponse>(
          CA_METHODS.getRootCACertificate,
          {},
          options,
        );
        if (typeof answer?.Certificate !== "string") {
          throw new CoveyError("data_loss", "Cannot fetch root CA: the answer holds no certificate");
        }
        check(answer.Certificate);
        return answer.Certificate;
      },
      { verifyPeer: () => undefined, passesOver: true },
      signal,
    );
  }

  /** Sends a join request to a manager that proves itself by a certificate of `rootCAPEM`. */
  issueNodeCertificate(
    request: IssueNodeCertificateRequest,
    rootCAPEM: string,
    signal?: AbortSignal,
  ): Promise<IssueNodeCertificateResponse> {
    return this.#call(CA_METHODS.issueNodeCertificate, request, {
      verifyPeer: (chain) => this.#verifyManager(chain, rootCAPEM),
    }, signal);
  }

  /** Renews `identity`'s certificate for the key of the request; resolves with the chain (PEM). */
  async renew(identity: NodeIdentity, csrPEM: string, signal: AbortSignal): Promise<string> {
    const request: IssueNodeCertificateRequest = { CSR: csrPEM };
    const answer = await this.#call<IssueNodeCertificateResponse>(CA_METHODS.issueNodeCertificate, request, {
      identity: { certificatePEM: identity.certificateChainPEM, privateKeyPEM: identity.privateKeyPEM },
      verifyPeer: (chain) => this.#verifyManager(chain, identity.rootCAPEM, identity.clusterID),
    }, signal);
    if (answer.Certificate !== undefined) return answer.Certificate;
    throw new CoveyError("unavailable", `Cannot renew node certificate: the request is ${answer.Status}`);
  }

  /** A joiner has no clock to judge dates by; the root's digest is what it trusts, and the root signed the chain. */
  #verifyManager(chainPEM: string | undefined, rootCAPEM: string, clusterID?: string) {
    const peer = verifyPeerChain(chainPEM ?? "", {
      roots: [rootCAPEM],
      now: this.#options.clock.now(),
      allowNotYetValid: true,
      ...(clusterID !== undefined && { clusterID }),
    });
    if (peer.role === "swarm-manager") return peer;
    throw new CoveyError(
      "permission_denied",
      `Cannot trust node ${peer.nodeID} as a manager: its certificate says ${peer.role}`,
    );
  }

  #call<T>(
    method: string,
    request: unknown,
    how: { identity?: TLSMaterial; verifyPeer: VerifyPeer },
    signal?: AbortSignal,
  ): Promise<T> {
    return this.#ask((connection, options) => connection.call<T>(method, request, options), how, signal);
  }

  /**
   * Does `work` with the first manager that can. With `passesOver`, what one of them answers decides nothing: anybody may
   * be at its address. If all fail, a failure that may pass is the one to tell, so that they are asked again.
   */
  async #ask<T>(
    work: (connection: Connection, options: CallOptions) => Promise<T>,
    how: { identity?: TLSMaterial; verifyPeer: VerifyPeer; passesOver?: boolean },
    signal?: AbortSignal,
  ): Promise<T> {
    const { addresses, clock } = this.#options;
    const dialer = tlsDialer({ identity: () => how.identity, verifyPeer: how.verifyPeer, clock });
    const options = { timeoutMs: this.#timeoutMs, ...(signal && { signal }) };
    const failures: { address: string; error: CoveyError }[] = [];
    for (const address of addresses()) {
      let connection: Connection | undefined;
      try {
        connection = await dialer.dial(address, options);
        return await work(connection, options);
      } catch (thrown) {
        const error = CoveyError.from(thrown);
        // Whatever is there now may be no manager of this cluster any more; the next address may be one.
        const isLast = connection !== undefined && !how.passesOver && !error.retryable;
        if (isLast || signal?.aborted) throw error;
        failures.push({ address, error });
      } finally {
        connection?.close();
      }
    }
    if (failures.some(({ error }) => error.code === "deadline_exceeded")) {
      this.#timeoutMs = Math.min(2 * this.#timeoutMs, MAX_CALL_TIMEOUT_MS);
    }
    throw failureOf(failures);
  }
}

/** One error for all addresses: each said what was wrong there. */
function failureOf(failures: { address: string; error: CoveyError }[]): CoveyError {
  if (failures.length === 0) {
    return new CoveyError("unavailable", "Cannot reach a manager: no address is known");
  }
  // That the node is out is the cluster's last word, whoever else is away; otherwise what may pass is tried again.
  const told = failures.find(({ error }) => error.reason === "not_in_cluster") ??
    failures.find(({ error }) => error.retryable) ?? failures.at(-1)!;
  if (failures.length === 1) return told.error;
  const { code, retryable, reason } = told.error;
  const each = failures.map(({ address, error }) => `${address}: ${error.message}`).join("; ");
  const message = `Cannot find a manager that helps at ${failures.length} addresses: ${each}`;
  return new CoveyError(code, message, { cause: told.error, retryable, reason });
}
