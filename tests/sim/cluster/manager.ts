/** A machine with a manager on it: the production manager on a simulated disk, network and clock. */
import { ADMINISTRATOR, type Caller } from "../../../manager/control/caller.ts";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import { controlAPI } from "../../../manager/http/mod.ts";
import type { ControlAPI } from "../../../manager/http/app.ts";
import type { NodeLifecycle } from "../../../manager/http/lifecycle.ts";
import { type ManagerEffects, RunningManager } from "../../../manager/server/running_manager.ts";
import type { Certified } from "../../../manager/server/standing.ts";
import { RaftMember } from "../../../manager/consensus/member/mod.ts";
import { RaftInvariantError } from "../../../manager/raft/invariant.ts";
import type { NodeIdentity } from "../../../security/mod.ts";
import type { PeerIdentity } from "../../../transport/mod.ts";
import type { ControlAnswer } from "../../chaos/control_request.ts";
import { REQUEST_TIMEOUT_MS } from "../../chaos/register_client.ts";
import { Violation } from "../raft/checker.ts";
import { type ClusterChecker, ManagerView } from "./checker.ts";
import { SimDisk } from "./disk.ts";
import type { DiskChecker } from "./disk_checker.ts";
import { type Faults, withoutVote } from "./faults.ts";
import { Host } from "./host.ts";
import { addressOf, type SimNetwork } from "./network.ts";
import type { Refusals } from "./refusals.ts";
import { watchedDialer } from "./watched_dialer.ts";
import { watched } from "./watched_member.ts";
import type { World } from "./world.ts";

/** What all managers share. */
export interface ManagerSurroundings {
  world: World;
  network: SimNetwork;
  checker: ClusterChecker;
  disks: DiskChecker;
  faults: Faults;
  refusals: Refusals;
  /** Entries between two checkpoints: few, so that a short run has several. */
  checkpointEntries: number;
  /** Ticks without a leader before an election; with few of them, two managers more often try at once. */
  electionTicks: number;
}

/**
 * `down`: not running, may be started. `lost`: it refused what is on its disk; only a new disk helps. `removed`: the cluster
 * let it go.
 */
export type ManagerState = "down" | "starting" | "up" | "lost" | "removed";

/** Patience of whoever has a manager leave. */
const LEAVE_MS = 10_000;

interface Process {
  life: number;
  manager: RunningManager;
  api: ControlAPI;
}

/** One such machine: it can crash, lose its disk, and start again on what it had stored. */
export class SimManager {
  readonly host: Host;
  readonly disk: SimDisk;
  readonly address: string;
  state: ManagerState = "down";
  view: ManagerView;
  readonly #all: ManagerSurroundings;
  #process: Process | undefined;
  /** When the cluster last gave it a certificate, milliseconds since 1970. */
  #certifiedAt = 0;
  /** It votes, as far as its disk says. */
  #joined = false;

  constructor(readonly name: string, all: ManagerSurroundings) {
    const { faults, disks, network, world, checker } = all;
    this.#all = all;
    this.host = new Host(name, world);
    this.address = addressOf(name);
    this.view = new ManagerView(name, 0);
    this.disk = new SimDisk(this.host, {
      breakWrites: faults.forgetVote ? withoutVote : undefined,
      acknowledgeEarly: faults.acknowledgeEarly,
      stored: (mutations) => checker.guard(() => disks.stored(name, mutations)),
    });
    network.add(this.host);
  }

  /** The running manager, if it is one. */
  get manager(): RunningManager | undefined {
    return this.state === "up" ? this.#process?.manager : undefined;
  }

  get isLeader(): boolean {
    return this.manager?.consensus.status().isLeader ?? false;
  }

  /** Whether it counts for a majority: it votes, and it is not known to be beyond repair. */
  get isSound(): boolean {
    return this.#joined && this.state !== "lost" && this.state !== "removed" && !this.disk.damaged;
  }

  /** Starts the program; without `through` on an empty disk it founds the cluster, otherwise it joins through others. */
  async start(through: readonly string[]): Promise<void> {
    const { world } = this.#all;
    this.state = "starting";
    const life = this.host.boot();
    world.log.note(`${this.name} starts`);
    try {
      const manager = await this.#open(through.length > 0);
      if (life !== this.host.life) return;
      this.#watch(manager, life);
      await manager.serve({} as NodeIdentity);
      this.#process = { life, manager, api: this.#controlAPI(manager) };
      this.state = "up";
      // As `Joining.resume` does: a start may know less than the one before, which had not stored that it votes.
      this.#joined = manager.consensus.isVoter;
      if (!this.#joined && through.length > 0) await manager.consensus.join(through);
      this.#joined = true;
    } catch (thrown) {
      if (life === this.host.life) this.#refused(thrown);
    }
  }

  /** The program dies: with `powered` only it, else the machine. */
  crash(powered: boolean, mayTear = false): void {
    const { world, network } = this.#all;
    if (!this.host.running) return;
    world.log.note(`${this.name} crashes${powered ? "" : ", no power"}`);
    const exactFrom = Math.max(this.view.exactFrom, this.view.position);
    this.view = new ManagerView(this.name, exactFrom);
    this.#process = undefined;
    if (this.state === "up" || this.state === "starting") this.state = "down";
    this.host.crash(powered);
    this.disk.crash(mayTear);
    network.crashed(this.host);
  }

  /** Ends the program in order. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (!process) return;
    this.#all.world.log.note(`${this.name} stops`);
    await process.manager.stop();
    if (process.life === this.host.life) this.crash(true);
  }

  /** Leaves the quorum, if it lets it; the rest of the node's state goes too then. */
  async leave(): Promise<void> {
    const { world } = this.#all;
    const { manager } = this;
    if (!manager) return;
    world.log.note(`${this.name} leaves`);
    const left = manager.consensus.leave().catch((error) =>
      world.log.note(`${this.name} stays: ${error.message}`)
    );
    await Promise.race([left, world.sleep(LEAVE_MS)]);
  }

  /** Puts in an empty disk. */
  replaceDisk(): void {
    this.#all.world.log.note(`${this.name} gets a new disk`);
    this.disk.wipe();
    this.#all.disks.wiped(this.name);
    this.view = new ManagerView(this.name, 0);
    this.#certifiedAt = this.host.clock().now();
    this.#joined = false;
    this.state = "down";
  }

  /** Makes a request of the control API, as a client on this machine. */
  request(method: string, path: string, body?: unknown): Promise<ControlAnswer> {
    const { world } = this.#all;
    const process = this.state === "up" ? this.#process : undefined;
    if (!process) return Promise.resolve({ kind: "not_sent" });
    return new Promise((resolve) => {
      const end = (answer: ControlAnswer) => {
        cancelTimer();
        stopWatching();
        resolve(answer);
      };
      const stopWatching = this.host.onCrash(() => end({ kind: "broken" }));
      const cancelTimer = world.queue.timer(REQUEST_TIMEOUT_MS, () => end({ kind: "broken" }));
      const text = body === undefined ? {} : {
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      };
      this.host.enter(process.life, () => {
        const request = new Request(`http://docker/v1.41${path}`, { method, ...text });
        void answerOf(process.api, request).then((answer) => world.queue.after(0.1, () => end(answer)));
      });
    });
  }

  #open(join: boolean): Promise<RunningManager> {
    const { host, name, address } = this;
    const { world, network, checker, disks, faults, refusals, checkpointEntries, electionTicks } = this.#all;
    const clock = host.clock(), random = host.random();
    const identity: PeerIdentity = {
      nodeID: name,
      clusterID: "cluster",
      role: "swarm-manager",
      certificatePEM: `certificate of ${name} at ${this.#certifiedAt}`,
    };
    const effects: ManagerEffects = {
      network: {
        dialer: watchedDialer(
          network.dialer(host, identity, clock),
          (message) => checker.guard(() => disks.sends(name, message)),
        ),
        useJudge: () => {},
        certified,
        useIdentity: () => {},
        listen: (_, router, onConnection) =>
          Promise.resolve(network.listen(host, identity, { router, clock, onConnection })),
      },
      openMember: async (options) => {
        const all = { ...options, checkpointEntries, electionTicks };
        return watched(
          await RaftMember.openOnDisk(this.disk.open(), all),
          checker,
          this.view,
          faults,
          refusals,
        );
      },
    };
    const answer = (request: Request, caller: Caller) => this.#process!.api.answer(request, caller);
    world.log.note(`${name} opens its state`);
    return RunningManager.open({
      raftDir: "",
      dataKeys: [],
      nodeID: name,
      listen: address,
      advertise: address,
      clock,
      random,
      answer,
      join,
    }, effects);
  }

  #controlAPI(manager: RunningManager): ControlAPI {
    const lifecycle: Partial<NodeLifecycle> = { state: "active", nodeID: this.name, manager };
    return controlAPI({
      lifecycle: lifecycle as NodeLifecycle,
      clock: this.host.clock(),
      random: this.host.random(),
      version: "0",
    });
  }

  #watch({ consensus }: RunningManager, life: number): void {
    void consensus.failed.then((error) => life === this.host.life && this.#refused(error));
    void consensus.removed.then(() => this.#isOut(life));
  }

  /** The cluster has let it go, and it knows. */
  #isOut(life: number): void {
    if (life !== this.host.life) return;
    this.#all.world.log.note(`${this.name} is removed`);
    this.crash(true);
    this.state = "removed";
  }

  /** The program ended by itself. With a sound disk only a failed write is a reason, with a damaged one any that is loud. */
  #refused(thrown: unknown): void {
    const { world } = this.#all;
    const error = thrown instanceof RaftInvariantError ? thrown : CoveyError.from(thrown);
    world.log.note(`${this.name} ends: ${error.message}`);
    // Somebody had it removed while it was still joining, or has not made it a manager again.
    if (
      !this.#joined && error instanceof CoveyError &&
      hasCode(error, "failed_precondition", "permission_denied")
    ) {
      return this.#isOut(this.host.life);
    }
    const { damaged, hasFailed } = this.disk;
    const failed = error instanceof CoveyError && hasCode(error, "data_loss");
    const leaving = error instanceof CoveyError &&
      hasCode(error, "unavailable", "deadline_exceeded", "canceled");
    if (!damaged && !(failed && hasFailed) && !leaving) {
      return world.fail(new Violation("CRASH", `${this.name} ended: ${error.stack}`));
    }
    this.crash(true);
    if (!hasFailed && damaged) this.state = "lost";
  }
}

async function answerOf(api: ControlAPI, request: Request): Promise<ControlAnswer> {
  try {
    const response = await api.fetch(request, ADMINISTRATOR);
    return { kind: "answer", status: response.status, body: await response.text() };
  } catch {
    return { kind: "broken" };
  }
}

/** What a simulated certificate says of itself. */
function certified({ certificatePEM }: PeerIdentity): Certified {
  return { publicKeyDigest: certificatePEM, issuedAt: Number(certificatePEM.split(" at ")[1] ?? 0) };
}
