/**
 * Brings a new root to all nodes. Part of the leader; where it stands is in the store, so that the next leader goes on.
 *
 *     RootRotation there  ->  nodes are told to renew, a few at a time  ->  none is waited for  ->  the new root is the root
 *
 * Waited for are managers, whatever they do, and workers that are not down and were told less than PATIENCE_MS ago: a device
 * that is away, or does not want to, holds up nobody. It renews later, by the key that the cluster has on record for it.
 */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import type { RootRotation as Rotation } from "../../api/cluster.ts";
import { getLogger } from "@logtape/logtape";
import type { Node } from "../../api/node.ts";
import type { Random } from "../../api/random.ts";
import { SayOnce } from "../../api/say_once.ts";
import { readCertificate } from "../../security/mod.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { issuerDigest, withRotationDone } from "../cluster/root_ca.ts";
import type { Store } from "../store/store.ts";

/** Nodes that are told at once, and the pause after them (SwarmKit): signatures, and who dials anew, are spread. */
export const ROTATION_BATCH = 30;
/** See {@linkcode ROTATION_BATCH}. */
export const ROTATION_PAUSE_MS = 3_000;
/** How long a worker that was told is waited for: far longer than a renewal takes that failed a few times. */
export const PATIENCE_MS = 10 * 60_000;
/** Pause after a write that failed. */
const RETRY_MS = 1_000;

const logger = getLogger(["covey", "ca"]);

/** Carries rotations through for as long as this manager leads. */
export class RootRotation {
  readonly name = "root rotation";
  readonly #options: { store: Store; clock: Clock; random: Random };
  readonly #said = new SayOnce();
  #unsubscribe = () => {};
  #cancel: CancelTimer = () => {};
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = true;
  /** When the next nodes may be told, by the monotonic clock. */
  #nextBatchAt = 0;

  constructor(options: { store: Store; clock: Clock; random: Random }) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#unsubscribe = this.#options.store.subscribe(({ changes }) => {
      if (changes.some(({ table }) => table === "nodes" || table === "clusters")) this.#wake();
    }, this.name);
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    this.#cancel();
    await this.#running;
  }

  #wake(): void {
    if (this.#stopped) return;
    if (this.#running) return void (this.#again = true);
    if (clusterOf(this.#options.store)?.RootCA.RootRotation === undefined) return;
    this.#cancel();
    this.#running = this.#reconcile().then((againMs) => {
      if (againMs !== undefined && !this.#stopped) this.#wakeAfter(againMs);
    }, (thrown) => {
      const text = `Cannot go on with the new root yet: ${(thrown as Error).message}`;
      if (this.#said.isNew(text)) logger.warn(text);
      if (!this.#stopped) this.#wakeAfter(RETRY_MS);
    }).finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.#wake();
    });
  }

  #wakeAfter(ms: number): void {
    this.#cancel();
    this.#cancel = this.#options.clock.setTimer(ms, () => this.#wake());
  }

  /** One step; resolves with how soon the next one is due if nothing changes before. */
  async #reconcile(): Promise<number | undefined> {
    const { store, clock } = this.#options;
    const rotation = clusterOf(store)?.RootCA.RootRotation;
    if (rotation === undefined) return undefined;
    const lacking = lackers(store.all("nodes"), rotation);
    if (!lacking.some((node) => waitsFor(node, rotation, clock.now()))) {
      await this.#finish(rotation);
      return undefined;
    }
    const issuer = issuerDigest(rotation.CACert);
    const untold = lacking.filter((node) => !wasTold(node, issuer) && isThere(node));
    const waitMs = this.#nextBatchAt - clock.monotonic();
    if (untold.length > 0 && waitMs <= 0) {
      this.#nextBatchAt = clock.monotonic() + ROTATION_PAUSE_MS;
      await this.#tell(untold.slice(0, ROTATION_BATCH).map(({ ID }) => ID), issuer);
      return ROTATION_PAUSE_MS;
    }
    // Who has had its time is not waited for: a manager is, whose report wakes this.
    const left = lacking.map((node) => patienceLeft(node, issuer, clock.now()) ?? 0).filter((ms) => ms > 0);
    return Math.min(...(untold.length > 0 ? [waitMs] : []), ...left, PATIENCE_MS);
  }

  async #tell(ids: readonly string[], issuer: string): Promise<void> {
    const { store, clock } = this.#options;
    const Renewal = { Issuer: issuer, Since: timestamp(clock) };
    await store.update((tx) => {
      for (const id of ids) {
        const node = tx.get("nodes", id);
        if (node) tx.update("nodes", { ...node, Renewal });
      }
    });
  }

  /** The old root's part is over, unless something has changed until this is written. */
  async #finish(rotation: Rotation): Promise<void> {
    const { store, clock, random } = this.#options;
    const done = await store.update((tx) => {
      const cluster = clusterOf(tx);
      if (cluster?.RootCA.RootRotation?.CACert !== rotation.CACert) return false;
      const waited = lackers(tx.all("nodes"), rotation).some((node) => waitsFor(node, rotation, clock.now()));
      if (waited) return false;
      const RootCA = withRotationDone(cluster.RootCA, cluster.RootCA.RootRotation, random);
      tx.update("clusters", { ...cluster, RootCA });
      return true;
    });
    if (!done) return void (this.#again = true);
    this.#said.reset();
    const away = lackers(store.all("nodes"), rotation).length;
    logger.info(
      "The cluster has a new root certificate; {away} nodes were away and renew when they are back",
      {
        away,
      },
    );
  }
}

/** Nodes that have not said that their certificate is by the new root. */
function lackers(nodes: readonly Node[], { CACert }: Rotation): Node[] {
  const issuer = readCertificate(CACert).publicKey.toBase64();
  return nodes.filter(({ Description }) => Description?.TLSInfo?.CertIssuerPublicKey !== issuer);
}

function isThere({ Status: { State } }: Node): boolean {
  return State !== "down" && State !== "disconnected";
}

/**
 * A worker is told once: one that renews again and again, and does not say so, is not waited for any longer. A manager that
 * has the certificate of a root which was given up in between is told again.
 */
function wasTold({ Renewal, Role }: Node, issuer: string): boolean {
  return Renewal?.Issuer === issuer && !(Renewal.Done && Role === "manager");
}

function waitsFor(node: Node, { CACert }: Rotation, now: number): boolean {
  if (node.Role === "manager" || node.Spec.Role === "manager") return true;
  return isThere(node) && patienceLeft(node, issuerDigest(CACert), now) !== 0;
}

/** Milliseconds, of a worker that was told; clocks of leaders differ, so it is never more than it is at first. */
function patienceLeft({ Renewal, Role }: Node, issuer: string, now: number): number | undefined {
  if (Renewal?.Issuer !== issuer || Role === "manager") return undefined;
  const left = Date.parse(Renewal.Since) + PATIENCE_MS - now;
  return Math.min(Math.max(left, 0), PATIENCE_MS);
}
