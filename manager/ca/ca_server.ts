/** The certificate authority's two calls. Runs on the leader and keeps nothing that it cannot rebuild. */
import {
  CA_METHODS,
  type CertificateIdentity,
  type GetRootCACertificateResponse,
  type IssueNodeCertificateRequest,
  type IssueNodeCertificateResponse,
} from "../../api/ca.ts";
import { DAY_MS } from "../../api/duration.ts";
import type { Clock } from "../../api/clock.ts";
import { CoveyError, type ErrorCode } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import type { CallContext } from "../../transport/mod.ts";
import {
  certificateRole,
  isIssuedBy,
  issueNodeCertificate,
  publicKeyDigest,
  readCertificate,
  readCertificateRequest,
  readCertificates,
  roleOfJoinToken,
} from "../../security/mod.ts";
import { handedToFollower } from "../consensus/mod.ts";
import type { CABackend, CACluster, CANode } from "./ca_backend.ts";
import { readIssueRequest } from "./issue_request.ts";
import { RateLimiter } from "../../api/rate_limiter.ts";

/** Requests one address may send at once: a site of devices behind one NAT joins together. */
export const MAX_ISSUE_BURST = 500;
/** Requests per second that an address regains; one costs about 2 ms of a core. */
const ISSUE_RATE_PER_SECOND = 50;
/** Requests one node may send at once with its certificate. */
export const MAX_RENEW_BURST = 10;
/** Renewals per second that a node regains. */
const RENEW_RATE_PER_SECOND = 0.2;
/** Requests under way: bounds what waits for the store, whoever sends it. */
const MAX_CONCURRENT_ISSUES = 1024;
/** Callers whose rate is remembered, about 100 bytes each. */
const MAX_RATE_KEYS = 10_000;

/** What a call's handler needs to know about the caller. */
export type CACallContext = Pick<CallContext, "peer" | "remoteAddress" | "forwardedFor">;

/** One call as the transport registers it. */
export interface CAMethod<Response> {
  name: string;
  kind: "unary";
  access: "anyone";
  handler: (request: unknown, context: CACallContext) => Promise<Response>;
}

/** What a {@linkcode CAServer} works with. */
export interface CAServerOptions {
  backend: CABackend;
  clock: Clock;
  random: Random;
  /**
   * On a follower, how to make the same call at the leader, `node` as its `forwardedFor`; undefined on the leader.
   * Pass on only what comes from here: a call without `node` that carries no token counts as the manager's own.
   */
  leader?: () => ForwardToLeader | undefined;
}

/**
 * Makes `ca.issueNodeCertificate` at the leader on behalf of `node`, or of a joiner when undefined. Resolves with undefined
 * if this manager has become the leader meanwhile.
 */
export type ForwardToLeader = (
  request: IssueNodeCertificateRequest,
  node: CertificateIdentity | undefined,
) => Promise<IssueNodeCertificateResponse | undefined>;

/** Issues node certificates to whoever shows a join token or a node certificate. */
export class CAServer {
  readonly #options: CAServerOptions;
  readonly #addressRate: RateLimiter;
  readonly #nodeRate: RateLimiter;
  /** Joins under way by public key, so that a request sent twice at once makes one node. */
  readonly #joining = new Map<string, Promise<CANode>>();
  #underWay = 0;

  constructor(options: CAServerOptions) {
    this.#options = options;
    const { clock } = options;
    const maxKeys = MAX_RATE_KEYS;
    this.#addressRate = new RateLimiter({
      clock,
      burst: MAX_ISSUE_BURST,
      perSecond: ISSUE_RATE_PER_SECOND,
      maxKeys,
    });
    this.#nodeRate = new RateLimiter({
      clock,
      burst: MAX_RENEW_BURST,
      perSecond: RENEW_RATE_PER_SECOND,
      maxKeys,
    });
  }

  /** The calls to register with the transport. */
  methods(): [CAMethod<GetRootCACertificateResponse>, CAMethod<IssueNodeCertificateResponse>] {
    return [
      {
        name: CA_METHODS.getRootCACertificate,
        kind: "unary",
        access: "anyone",
        handler: () => Promise.try(() => ({ Certificate: this.#options.backend.cluster().rootCertPEM })),
      },
      {
        name: CA_METHODS.issueNodeCertificate,
        kind: "unary",
        access: "anyone",
        handler: (request, context) => this.#issue(request, context),
      },
    ];
  }

  async #issue(request: unknown, context: CACallContext): Promise<IssueNodeCertificateResponse> {
    const checked = readIssueRequest(request);
    const node = renewingNode(checked, context);
    this.#limit(node && this.#isProven(node) ? node : undefined, context.remoteAddress);
    if (!node && checked.Token === undefined) {
      refuse("unauthenticated", "neither a join token nor a node certificate was sent");
    }
    this.#underWay++;
    try {
      const forward = this.#options.leader?.();
      if (forward && isPassedOn(checked, context)) throw handedToFollower();
      const answer = await forward?.(checked, node);
      if (answer) return answer;
      const cluster = this.#options.backend.cluster();
      return node ? await this.#renew(checked, node, cluster) : await this.#join(checked, cluster);
    } finally {
      this.#underWay--;
    }
  }

  /**
   * Whether a root that counts vouches for the node. Otherwise anybody who has the key of a former one may have made its
   * certificate, and the node's own requests are not to be counted with theirs.
   */
  #isProven(node: CertificateIdentity): boolean {
    try {
      return isByPresentRoot(node, this.#options.backend.cluster());
    } catch {
      return true; // this manager has no state yet, and went by the root that it joined with
    }
  }

  #limit(node: CertificateIdentity | undefined, remoteAddress: string): void {
    const allowed = node ? this.#nodeRate.take(node.nodeID) : this.#addressRate.take(hostOf(remoteAddress));
    if (allowed && this.#underWay < MAX_CONCURRENT_ISSUES) return;
    const why = allowed
      ? `${MAX_CONCURRENT_ISSUES} requests are under way`
      : "too many requests from this caller";
    throw new CoveyError("resource_exhausted", `Cannot issue node certificate: ${why}, try again later`, {
      retryable: true,
    });
  }

  async #renew(request: IssueNodeCertificateRequest, peer: CertificateIdentity, cluster: CACluster) {
    if (peer.clusterID !== cluster.ID) {
      refuse("permission_denied", `the certificate is of cluster ${peer.clusterID}, this is ${cluster.ID}`);
    }
    const node = this.#options.backend.nodeByID(peer.nodeID);
    if (!node || cluster.blocked(peer.nodeID)) {
      refuse("permission_denied", `node ${peer.nodeID} was removed from the cluster`);
    }
    const publicKey = await readCertificateRequest(request.CSR);
    const requested = publicKeyDigest(publicKey);
    checkFormer(peer, node, requested, cluster);
    this.#checkInTime(peer, node, requested, cluster);
    return await this.#answer(node, publicKey, cluster);
  }

  /** An expired certificate is renewed within the grace, for the key that was certified last: a copy of an older one is not. */
  #checkInTime(peer: CertificateIdentity, node: CANode, requested: string, cluster: CACluster): void {
    const { notAfter, publicKeyDigest: shown } = readCertificate(peer.certificatePEM);
    const now = this.#options.clock.now();
    if (now <= notAfter) return;
    const [expired, clock] = [notAfter, now].map((ms) => new Date(ms).toISOString());
    const dates = `the certificate of node ${node.ID} expired on ${expired}, the clock says ${clock}`;
    if (now - notAfter > cluster.renewalGraceMs) {
      refuse(
        "unauthenticated",
        `${dates}, and it could be renewed for ${cluster.renewalGraceMs / DAY_MS} days`,
      );
    }
    // Of a renewal whose answer was lost the cluster knows the new key, and the node shows the old certificate.
    if (node.PublicKeyDigest !== undefined && ![shown, requested].includes(node.PublicKeyDigest)) {
      refuse("permission_denied", `${dates}, and a newer one was issued since`);
    }
  }

  async #join(request: IssueNodeCertificateRequest, cluster: CACluster) {
    const role = roleOfJoinToken(request.Token ?? "", cluster.joinTokens);
    if (!role) refuse("permission_denied", "the join token is not valid, it may have been rotated");
    const publicKey = await readCertificateRequest(request.CSR);
    const digest = publicKeyDigest(publicKey);
    const known = this.#options.backend.nodeByPublicKey(digest);
    if (request.ReissueNodeID !== undefined && known?.ID !== request.ReissueNodeID) {
      refuse("not_found", `node ${request.ReissueNodeID} is not known under the key of this request`);
    }
    if (known?.Role === "manager" && role !== "manager") {
      refuse("permission_denied", `node ${known.ID} is a manager, a worker's join token does not restore it`);
    }
    const node = known ?? await this.#createOnce(digest, {
      ID: newID(this.#options.random),
      Role: role,
      PublicKeyDigest: digest,
      Availability: request.Availability ?? "active",
    });
    if (cluster.blocked(node.ID)) refuse("permission_denied", `node ${node.ID} was removed from the cluster`);
    return await this.#answer(node, publicKey, cluster);
  }

  #createOnce(digest: string, node: Parameters<CABackend["createNode"]>[0]): Promise<CANode> {
    const underWay = this.#joining.get(digest);
    if (underWay) return underWay;
    const creating = Promise.try(() => this.#options.backend.createNode(node))
      .finally(() => this.#joining.delete(digest));
    this.#joining.set(digest, creating);
    return creating;
  }

  async #answer(
    node: CANode,
    publicKey: Uint8Array<ArrayBuffer>,
    cluster: CACluster,
  ): Promise<IssueNodeCertificateResponse> {
    const answer = { NodeID: node.ID, Role: node.Role, RootCA: cluster.rootCertPEM, ClusterID: cluster.ID };
    if (node.Pending) return { ...answer, Status: "pending" };
    const { backend, clock } = this.#options;
    const certificatePEM = await issueNodeCertificate(cluster.signer, {
      publicKey,
      nodeID: node.ID,
      clusterID: cluster.ID,
      role: certificateRole(node.Role),
      expiryMs: cluster.nodeCertExpiryMs,
    }, this.#options);
    await backend.recordIssued(node.ID, {
      PublicKeyDigest: publicKeyDigest(publicKey),
      PublicKey: publicKey.toBase64(),
      Role: node.Role,
      IssuedAt: new Date(clock.now()).toISOString(),
      ExpiresAt: new Date(readCertificates(certificatePEM)[0]!.notAfter).toISOString(),
    });
    return { ...answer, Status: "issued", Certificate: certificatePEM };
  }
}

/**
 * The node whose certificate is to be renewed; undefined for a join. A manager with a token passes on a join:
 * were it taken for the manager's renewal, a joiner would receive the manager's identity.
 */
function renewingNode(
  request: IssueNodeCertificateRequest,
  { peer, forwardedFor }: CACallContext,
): CertificateIdentity | undefined {
  if (forwardedFor) return forwardedFor;
  return peer?.role === "swarm-manager" && request.Token !== undefined ? undefined : peer;
}

/** Whether another manager passed the call on; such a call goes no further. */
function isPassedOn(request: IssueNodeCertificateRequest, { peer, forwardedFor }: CACallContext): boolean {
  return forwardedFor !== undefined || (peer?.role === "swarm-manager" && request.Token !== undefined);
}

function isByPresentRoot({ certificatePEM }: CertificateIdentity, { trustedRoots }: CACluster): boolean {
  const shown = readCertificate(certificatePEM);
  return trustedRoots.some((root) => isIssuedBy(shown, readCertificate(root)));
}

/**
 * What no present root has issued is renewed for the key on record and for no other: whoever has the key of a root that was
 * replaced can make any certificate of it, but not with that key.
 */
function checkFormer(peer: CertificateIdentity, node: CANode, requested: string, cluster: CACluster): void {
  if (isByPresentRoot(peer, cluster)) return;
  const shown = readCertificate(peer.certificatePEM);
  const onRecord = node.PublicKeyDigest;
  // Of a renewal whose answer was lost the cluster knows the new key, and the node shows the old certificate.
  if (onRecord !== undefined && [shown.publicKeyDigest, requested].includes(onRecord)) return;
  refuse(
    "permission_denied",
    `the certificate of node ${node.ID} is by a root that was replaced, and its key is not the one on record`,
  );
}

/** HOST of HOST:PORT or [HOST]:PORT, so that every connection of a caller counts together. */
function hostOf(address: string): string {
  return /^(\[.*\]|[^:]*):\d+$/.exec(address)?.[1] ?? address;
}

function refuse(code: ErrorCode, why: string): never {
  throw new CoveyError(code, `Cannot issue node certificate: ${why}`);
}
