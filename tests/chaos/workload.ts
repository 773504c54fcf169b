import { sleep, systemClock } from "../../api/clock.ts";
import { HistoryRecorder } from "../support/linearizability/mod.ts";
import { SeededRandom } from "../sim/raft/random.ts";
import type { Managers } from "./managers.ts";
import type { Reading, RegisterInput, RegisterOutput } from "./register.ts";
import { operate, type RegisterResult } from "./register_client.ts";

/** Keys in use at a time: few, so that clients meet. */
const KEYS_IN_USE = 6;
/** Operations after which a key is left alone: operations of unknown outcome burden the check of all later ones. */
const OPERATIONS_PER_KEY = 400;
/** Longest pause of a client between two operations. */
const MAX_THINK_MS = 10;
/** Pause of a client after a refusal. */
const REFUSED_PAUSE_MS = 50;

/** Clients that read and write registers through all managers, and what they saw. */
export class Workload {
  readonly history = new HistoryRecorder<RegisterInput, RegisterOutput>(() => performance.now());
  /** How often an operation ended otherwise than well, by reason. */
  readonly reasons = new Map<string, number>();
  /** Every key so far. */
  readonly keys: string[] = [];
  readonly #managers: Managers;
  readonly #seed: number;
  readonly #inUse: { name: string; left: number }[] = [];

  constructor(managers: Managers, seed: number) {
    this.#managers = managers;
    this.#seed = seed;
    for (let slot = 0; slot < KEYS_IN_USE; slot++) this.#renewKey(slot);
  }

  /** Runs `clients` clients until `signal` aborts. */
  async run(clients: number, signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: clients }, (_, client) => this.#client(client, signal)));
  }

  /** Reads every key once through every manager; a read that fails is tried again until `limitMs` is over, then it throws. */
  async readAll(firstClient: number, limitMs: number): Promise<void> {
    const limit = performance.now() + limitMs;
    await Promise.all(Array.from({ length: this.#managers.count }, async (_, manager) => {
      for (const key of this.keys) {
        while ((await this.#do(manager, firstClient + manager, key, { kind: "read" })).kind !== "ok") {
          if (performance.now() > limit) {
            throw new Error(`Cannot read ${key} from manager ${manager} after healing`);
          }
          await sleep(systemClock, REFUSED_PAUSE_MS);
        }
      }
    }));
  }

  async #client(client: number, signal: AbortSignal): Promise<void> {
    const random = new SeededRandom(this.#seed * 1000 + client);
    const known = new Map<string, Reading | "absent">();
    for (let nth = 0; !signal.aborted; nth++) {
      const key = this.#takeKey(random);
      const input = chooseInput(random, known.get(key), `${client}.${nth}`);
      // Half of the clients stay with one manager: else all would soon wait for one that cannot answer.
      const count = this.#managers.count;
      const manager = client % 2 === 0 ? (client >> 1) % count : random.between(0, count - 1);
      const result = await this.#do(manager, client, key, input);
      learn(known, key, input, result);
      const pauseMs = result.kind === "ok" ? random.next() * MAX_THINK_MS : REFUSED_PAUSE_MS;
      await sleep(systemClock, pauseMs, signal).catch(() => {});
    }
  }

  async #do(manager: number, client: number, key: string, input: RegisterInput): Promise<RegisterResult> {
    const pending = this.history.begin(key, client, input);
    const result = await operate(this.#managers.socket(manager), key, input);
    if (result.kind === "ok") pending.ok(result.output);
    else {
      if (result.kind === "failed") pending.failed();
      else pending.unknown();
      const reason = `${result.kind}: ${result.reason}`;
      this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    }
    return result;
  }

  #takeKey(random: SeededRandom): string {
    const slot = random.between(0, KEYS_IN_USE - 1);
    const key = this.#inUse[slot]!;
    if (--key.left === 0) this.#renewKey(slot);
    return key.name;
  }

  #renewKey(slot: number): void {
    const name = `register-${this.keys.length}`;
    this.keys.push(name);
    this.#inUse[slot] = { name, left: OPERATIONS_PER_KEY };
  }
}

/** Mostly what fits the client's knowledge; sometimes what should be refused. */
export function chooseInput(
  random: SeededRandom,
  known: Reading | "absent" | undefined,
  value: string,
): RegisterInput {
  const luck = random.next();
  if (luck < 0.04) return { kind: "create", value };
  if (luck < 0.08) return { kind: "remove" };
  if (known === undefined || luck < 0.4) return { kind: "read" };
  return known === "absent" ? { kind: "create", value } : { kind: "update", version: known.version, value };
}

/** Keeps what was read last until the next write, which others may yet outrun: their updates are refused as stale. */
export function learn(
  known: Map<string, Reading | "absent">,
  key: string,
  { kind }: RegisterInput,
  result: RegisterResult,
): void {
  if (result.kind === "ok" && kind === "read") known.set(key, result.output as Reading | "absent");
  else if (result.kind !== "failed") known.delete(key);
}
