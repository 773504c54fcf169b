/** Clients that read and write registers, which are services, through all managers. */
import { carryOut, type RegisterResult } from "../../chaos/register_client.ts";
import {
  type Reading,
  type RegisterInput,
  registerModel,
  type RegisterOutput,
} from "../../chaos/register.ts";
import { chooseInput, learn } from "../../chaos/workload.ts";
import { checkLinearizability, explain, HistoryRecorder } from "../../support/linearizability/mod.ts";
import { Violation } from "../raft/checker.ts";
import type { SimManager } from "./manager.ts";
import type { World } from "./world.ts";

const KEYS = 3;
/** Longest pause between two operations of a client, milliseconds. */
const THINK_MS = [40, 300, 1500];
const REFUSED_PAUSE_MS = 200;
/** Lines of a history that is not linearizable. */
const MAX_LINES = 40;

/** A few clients, and the history of what they asked and were answered. */
export class RegisterClients {
  readonly history: HistoryRecorder<RegisterInput, RegisterOutput>;
  readonly #world: World;
  readonly #managers: readonly SimManager[];
  readonly #keys = Array.from({ length: KEYS }, (_, i) => `register-${i}`);
  readonly #thinkMs: number;

  constructor(world: World, managers: readonly SimManager[]) {
    this.#world = world;
    this.#managers = managers;
    this.#thinkMs = world.random.pick(THINK_MS);
    this.history = new HistoryRecorder(() => world.now);
  }

  /** Operations so far. */
  get count(): number {
    return this.history.operations.length;
  }

  start(): void {
    for (let client = 0; client < 3; client++) this.#world.spawn(this.#run(client));
  }

  /** Reads every key through every manager, again and again until it is answered. */
  async readAll(): Promise<void> {
    await Promise.all(this.#managers.flatMap((manager, at) =>
      this.#keys.map(async (key) => {
        while ((await this.#do(manager, 100 + at, key, { kind: "read" })).kind !== "ok") {
          await this.#world.sleep(REFUSED_PAUSE_MS);
        }
      })
    ));
  }

  /** LIN: throws a violation if no order of the operations explains their answers. */
  check(): void {
    const { verdict, problems } = checkLinearizability(this.history.operations, registerModel);
    if (verdict === "linearizable") return;
    const { key, history, result } = problems[0]!;
    throw new Violation("LIN", explain(key, history, result, registerModel, MAX_LINES));
  }

  async #run(client: number): Promise<void> {
    const world = this.#world;
    const random = world.fork();
    const known = new Map<string, Reading | "absent">();
    for (let nth = 0; !world.calm; nth++) {
      const key = random.pick(this.#keys);
      const input = chooseInput(random, known.get(key), `${client}.${nth}`);
      const manager = random.pick(this.#managers);
      const result = await this.#do(manager, client, key, input);
      learn(known, key, input, result);
      await world.sleep(result.kind === "ok" ? random.next() * this.#thinkMs : REFUSED_PAUSE_MS);
    }
  }

  async #do(manager: SimManager, client: number, key: string, input: RegisterInput): Promise<RegisterResult> {
    const pending = this.history.begin(key, client, input);
    const result = await carryOut(
      (method, path, body) => manager.request(method, path, body),
      key,
      input,
    );
    if (result.kind === "ok") pending.ok(result.output);
    else if (result.kind === "failed") pending.failed();
    else pending.unknown();
    const outcome = result.kind === "ok" ? JSON.stringify(result.output) : `${result.kind}: ${result.reason}`;
    this.#world.log.note(`client ${client} ${input.kind} ${key} at ${manager.name}: ${outcome}`);
    if (result.kind === "unexpected") throw new Violation("LIN", `unexpected answer: ${result.reason}`);
    return result;
  }
}
