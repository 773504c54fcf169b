/** Renews a node's certificate before it expires, keeping the live connection. */
import { Backoff, type BackoffLimits } from "../api/backoff.ts";
import type { CancelTimer, Clock } from "../api/clock.ts";
import { HOUR_MS } from "../api/duration.ts";
import { CoveyError } from "../api/errors.ts";
import type { Random } from "../api/random.ts";
import { isIssuedBy, readCertificate } from "./certificate.ts";
import { createCertificateRequest } from "./certificate_request.ts";
import type { IdentityStore } from "./identity_store.ts";
import { assembleIdentity, type NodeIdentity } from "./node_identity.ts";

/** Renewal happens at a random part of the certificate's life, so that a fleet spreads out (SwarmKit). */
const RENEW_FROM = 0.5;
/** See {@linkcode RENEW_FROM}. */
const RENEW_UNTIL = 0.8;
/** Pauses after failures (SwarmKit). */
export const RENEW_PAUSE: BackoffLimits = { minMs: 5_000, maxMs: HOUR_MS };
/** The random part of such a pause: it keeps a fleet from knocking together. */
const RENEW_JITTER = 0.25;
/** Longest timer: the wall clock may jump and a suspended device's timers stand still, so look again. */
const MAX_WAIT_MS = 12 * HOUR_MS;

/** What a {@linkcode Renewer} works with. */
export interface RenewerOptions {
  clock: Clock;
  random: Random;
  store: IdentityStore;
  identity: NodeIdentity;
  /** Sends the request over the node's own connection; resolves to the certificate chain (PEM). */
  renew: (csrPEM: string, signal: AbortSignal) => Promise<string>;
  /** The new identity is on disk; swap it into the transport. Its role, or the root it trusts, may have changed. */
  onRenewed: (identity: NodeIdentity) => void;
  /** An attempt failed; the next one follows after `retryMs`. */
  onFailure?: (error: CoveyError, retryMs: number) => void;
}

/** Keeps one identity fresh from `start` to `stop`. */
export class Renewer {
  readonly #options: RenewerOptions;
  readonly #abort = new AbortController();
  #identity: NodeIdentity;
  #dueAt = 0;
  readonly #backoff: Backoff;
  #attempting = false;
  #again = false;
  /** The root that the cluster says it has; taken once it has issued this node's certificate. */
  #told: string | undefined;
  /** What is written to the disk, one after another. */
  #saving: Promise<unknown> = Promise.resolve();
  #cancelTimer: CancelTimer = () => {};

  constructor(options: RenewerOptions) {
    this.#options = options;
    this.#backoff = new Backoff(RENEW_PAUSE, { random: options.random, part: RENEW_JITTER });
    this.#identity = options.identity;
  }

  /** The current identity. */
  get identity(): NodeIdentity {
    return this.#identity;
  }

  /** When the next attempt is due, milliseconds since 1970. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Schedules the first renewal. */
  start(): void {
    this.#schedule(this.#pickTime());
  }

  /** Renews at once, as after a change of role; during an attempt, right after it. */
  renewNow(): void {
    if (this.#attempting) this.#again = true;
    else this.#schedule(this.#options.clock.now());
  }

  /**
   * Another root than the pinned one is the cluster's (PEM). It takes that one's place if it is the very one that issued this
   * node's certificate: so a manager that lags, and tells of a root of before, changes nothing. It is asked again after
   * each renewal.
   */
  trust(rootCAPEM: string): void {
    this.#told = rootCAPEM;
    this.#saving = this.#saving.then(() => this.#adopt()).catch((error) =>
      this.#options.onFailure?.(CoveyError.from(error), 0)
    );
  }

  /** A manager takes the certificate for nothing but its renewal: renews at once, unless that is being tried. */
  refused(): void {
    if (this.#dueAt - this.#options.clock.now() > RENEW_PAUSE.maxMs) this.renewNow();
  }

  /** Ends renewal and aborts an attempt under way. */
  stop(): void {
    this.#cancelTimer();
    this.#abort.abort(new CoveyError("canceled", "Cannot renew node certificate: renewal was stopped"));
  }

  #pickTime(): number {
    const { notBefore, notAfter } = this.#identity;
    const part = RENEW_FROM + this.#options.random.float() * (RENEW_UNTIL - RENEW_FROM);
    return notBefore + (notAfter - notBefore) * part;
  }

  #schedule(dueAt: number): void {
    this.#dueAt = dueAt;
    this.#wait();
  }

  #wait(): void {
    this.#cancelTimer();
    if (this.#abort.signal.aborted) return;
    const { clock } = this.#options;
    const left = this.#dueAt - clock.now();
    const onTimer = left <= MAX_WAIT_MS ? () => void this.#attempt() : () => this.#wait();
    this.#cancelTimer = clock.setTimer(Math.max(0, Math.min(left, MAX_WAIT_MS)), onTimer);
  }

  async #attempt(): Promise<void> {
    this.#attempting = true;
    let next: number;
    try {
      await this.#renewOnce();
      this.#backoff.reset();
      next = this.#pickTime();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const retryMs = Math.max(RENEW_PAUSE.minMs, this.#backoff.next());
      this.#options.onFailure?.(CoveyError.from(error), retryMs);
      next = this.#options.clock.now() + retryMs;
    } finally {
      this.#attempting = false;
    }
    if (this.#again) next = this.#options.clock.now();
    this.#again = false;
    this.#schedule(next);
  }

  async #renewOnce(): Promise<void> {
    const { store, renew, onRenewed } = this.#options;
    const { signal } = this.#abort;
    const privateKeyPEM = await store.pendingKey();
    const certificateChainPEM = await renew(await createCertificateRequest(privateKeyPEM), signal);
    signal.throwIfAborted();
    const old = this.#identity;
    const renewed = assembleIdentity({ rootCAPEM: old.rootCAPEM, certificateChainPEM, privateKeyPEM });
    if (renewed.nodeID !== old.nodeID || renewed.clusterID !== old.clusterID) {
      throw new CoveyError(
        "failed_precondition",
        `Cannot renew node certificate: the answer names node ${renewed.nodeID} of cluster ${renewed.clusterID}, ` +
          `this is ${old.nodeID} of ${old.clusterID}`,
      );
    }
    const saved = this.#saving.then(async () => {
      this.#identity = await store.save(renewed);
      await this.#adopt();
    });
    this.#saving = saved.catch(() => {});
    await saved;
    if (!signal.aborted) onRenewed(this.#identity);
  }

  async #adopt(): Promise<void> {
    const told = this.#told, own = this.#identity;
    if (told === undefined || told === own.rootCAPEM || this.#abort.signal.aborted) return;
    if (!isIssuedBy(readCertificate(own.certificatePEM), readCertificate(told))) return;
    this.#identity = await this.#options.store.save(assembleIdentity({ ...own, rootCAPEM: told }));
    this.#options.onRenewed(this.#identity);
  }
}
