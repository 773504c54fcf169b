/** Sees what every manager applies, shows and promises, and knows what must never happen. */
import { crc32 } from "node:zlib";
import type { ConsensusStatus } from "../../../manager/consensus/consensus.ts";
import type { Commit } from "../../../manager/store/store.ts";
import { Violation } from "../raft/checker.ts";
import { IntentChecker } from "./intent_checker.ts";
import { Replica } from "./replica.ts";
import { RolloutChecker } from "./rollout_checker.ts";
import { TaskChecker } from "./task_checker.ts";
import type { World } from "./world.ts";

/** An entry of the state machine, as the first member to apply it had it. */
interface Applied {
  crc: number;
  /** Index of the state entry before it; undefined if the first member to apply it had just loaded its state. */
  before: number | undefined;
  /** Of the state after it. */
  digest: number;
}

/** One life of a manager, as far as it shows. */
export class ManagerView {
  readonly replica = new Replica();
  /** Everything up to here is in the state. */
  position = 0;
  /** Index of the last state entry that was applied in this life. */
  last: number | undefined;
  loaded = false;
  constructor(
    readonly name: string,
    /** Below, the state on disk may be ahead of its index. */ public exactFrom: number,
  ) {}
}

/** The rules about managers, checked as each of them applies, shows and promises. */
export class ClusterChecker {
  readonly tasks: TaskChecker;
  readonly intents: IntentChecker;
  /** The highest index that was acknowledged, by the term of its leader. */
  readonly #acknowledged = new Map<number, number>();
  readonly #rollouts = new RolloutChecker();
  readonly #world: World;
  readonly #applied = new Map<number, Applied>();
  readonly #leaders = new Map<number, string>();
  #lastApplied = 0;

  constructor(world: World) {
    this.#world = world;
    this.tasks = new TaskChecker(world);
    this.intents = new IntentChecker(world);
  }

  /** Entries that changed the state. */
  get entries(): number {
    return this.#applied.size;
  }

  /** Does `work`; a violation ends the run, whatever the code makes of it in whose midst it is found. */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof Violation) this.#world.fail(error);
      throw error;
    }
  }

  /** ES: a term has one leader. LC: it has everything that was acknowledged in terms before. */
  status({ name }: ManagerView, { isLeader, term, appliedIndex }: ConsensusStatus): void {
    if (!isLeader) return;
    const leader = this.#leaders.get(term);
    if (leader === name) return;
    if (leader !== undefined) throw new Violation("ES", `${leader} and ${name} both lead term ${term}`);
    this.#leaders.set(term, name);
    this.#world.log.note(`${name} leads term ${term}`);
    // One that slept may begin to serve, for a moment, when its successor has long acknowledged more.
    const before = [...this.#acknowledged].filter(([of]) => of < term);
    for (const [of, index] of before) {
      if (appliedIndex >= index) continue;
      throw new Violation(
        "LC",
        `${name} leads term ${term} at ${appliedIndex}, but ${index} was acknowledged in term ${of}`,
      );
    }
  }

  /** A manager applies an entry: `run` does it. SM: everywhere the same, in order, with the same result. */
  applies(view: ManagerView, index: number, entry: Uint8Array, run: () => void): void {
    const crc = crc32(entry);
    const known = this.#applied.get(index);
    const { name } = view;
    if (index <= view.position) throw new Violation("SM", `${name} applies ${index} after ${view.position}`);
    if (known && known.crc !== crc) throw new Violation("SM", `${name} applies another entry ${index}`);
    if (known?.before !== undefined && known.before > view.position) {
      throw new Violation("SM", `${name} applies ${index} after ${view.position}, without ${known.before}`);
    }
    this.tasks.first = known === undefined;
    run();
    this.tasks.first = false;
    const { digest } = view.replica;
    if (!known) {
      this.#applied.set(index, { crc, before: view.last, digest });
      this.#lastApplied = Math.max(this.#lastApplied, index);
      this.#world.log.note(`${name} applies ${index} ${crc.toString(16)}`);
    } else {
      known.before ??= view.last;
      this.#compare(view, index, known.digest);
    }
    view.position = index;
    view.last = index;
  }

  /** A manager loads its state, from its disk or from a snapshot: `run` does it. */
  restores(view: ManagerView, index: number, run: () => void): void {
    const isSnapshot = view.loaded;
    if (isSnapshot && index < view.position) {
      throw new Violation("SM", `${view.name} goes back from ${view.position} to a snapshot at ${index}`);
    }
    run();
    view.loaded = true;
    view.position = index;
    view.last = undefined;
    if (!isSnapshot) return;
    view.exactFrom = 0;
    this.#world.log.note(`${view.name} takes a snapshot at ${index}`);
    for (let at = index; at > 0; at--) {
      const known = this.#applied.get(at);
      if (known) return this.#compare(view, index, known.digest);
    }
  }

  /** WO: what a manager tells of its changes adds up to its state. */
  publishes(view: ManagerView, commit: Commit): void {
    view.replica.take(view.name, commit);
    this.tasks.sees(commit);
    if (!this.tasks.first) return;
    this.intents.sees(commit);
    this.#rollouts.sees(commit);
  }

  /** DU: part one, it was applied. Part two is LC, part three {@linkcode survives}. */
  acknowledges(name: string, term: number, index: number, entry: Uint8Array): void {
    if (this.#applied.get(index)?.crc !== crc32(entry)) {
      throw new Violation("DU", `${name} acknowledges ${index}, which is another entry or none`);
    }
    this.#acknowledged.set(term, Math.max(this.#acknowledged.get(term) ?? 0, index));
  }

  /** DU: what was acknowledged is there after healing. */
  survives(view: ManagerView, appliedIndex: number): void {
    if (appliedIndex < this.#lastApplied) {
      throw new Violation("DU", `${view.name} has ${appliedIndex} of ${this.#lastApplied}`);
    }
  }

  #compare({ name, exactFrom, replica }: ManagerView, index: number, digest: number): void {
    if (index > exactFrom && replica.digest !== digest) {
      throw new Violation("SM", `${name} has another state than others at ${index}`);
    }
  }
}
