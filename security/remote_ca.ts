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
import type { Connection, TLSMaterial, VerifyPeer } from "../transport/types.ts";
import type { NodeIdentity } from "./node_identity.ts";
import { verifyPeerChain } from "./verify_peer_chain.ts";

/** Longest wait for a manager to answer one call (SwarmKit: 5 s; signing on a small board takes longer). */
const CALL_TIMEOUT_MS = 10_000;

/** Options of {@linkcode RemoteCA}. */
export interface RemoteCAOptions {
  /** Managers to ask, in order, HOST:PORT; asked for at each call. */
  addresses: () => readonly string[];
  clock: Clock;
}

/** Asks the managers one after another until one answers; the error is that of the last one asked. */
export class RemoteCA {
  readonly #options: RemoteCAOptions;

  constructor(options: RemoteCAOptions) {
    this.#options = options;
  }

  /** The root certificate (PEM) of whoever answers: compare it with the token's digest before trusting it. */
  async getRootCA(signal?: AbortSignal): Promise<string> {
    const answer = await this.#call<GetRootCACertificateResponse>(
      CA_METHODS.getRootCACertificate,
      {},
      { verifyPeer: () => undefined },
      signal,
    );
    if (typeof answer?.Certificate === "string") return answer.Certificate;
    throw new CoveyError("data_loss", "Cannot fetch root CA: the answer holds no certificate");
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

  async #call<T>(
    method: string,
    request: unknown,
    how: { identity?: TLSMaterial; verifyPeer: VerifyPeer },
    signal?: AbortSignal,
  ): Promise<T> {
    const { addresses, clock } = this.#options;
    const dialer = tlsDialer({ identity: () => how.identity, verifyPeer: how.verifyPeer, clock });
    const options = { timeoutMs: CALL_TIMEOUT_MS, ...(signal && { signal }) };
    let failure = new CoveyError("unavailable", "Cannot reach a manager: no address is known");
    for (const address of addresses()) {
      let connection: Connection;
      try {
        connection = await dialer.dial(address, options);
      } catch (thrown) {
        // Whatever is there now may be no manager of this cluster any more; the next address may be one.
        failure = CoveyError.from(thrown);
        if (signal?.aborted) throw failure;
        continue;
      }
      try {
        return await connection.call<T>(method, request, options);
      } catch (thrown) {
        failure = CoveyError.from(thrown);
        if (!failure.retryable) throw failure;
      } finally {
        connection.close();
      }
    }
    throw failure;
  }
}
