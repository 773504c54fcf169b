/** One scripted task. */
import { sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ContainerStatus } from "../../api/task.ts";
import type { Controller, Exit, Handle } from "../executor.ts";
import { orAbort } from "../../api/or_abort.ts";
import { KILLED, type MockWorld } from "./mock_world.ts";

/** The script: `GenericSpec.Payload`. Times in milliseconds. */
export interface MockScript {
  PrepareMs?: number;
  StartMs?: number;
  /** How long the program runs; until it is stopped if left out. */
  RunMs?: number;
  ExitCode?: number;
  /** Lines that it prints when it starts: first to its output, then to its errors. */
  Output?: string;
  Errors?: string;
  /** The call that fails. */
  FailAt?: "prepare" | "start" | "wait" | "shutdown" | "terminate" | "remove";
  /** Message of the failure. */
  Error?: string;
  /** The call fails retryably that many times, then works; without it, it fails for good. */
  RetryableTimes?: number;
  /** `start` hangs until the test calls {@linkcode MockWorld.unblock}. */
  BlockStart?: boolean;
  /** The program ignores its stop signal and must be killed. */
  IgnoreStop?: boolean;
  /** Time between the stop signal and the kill; default 10 s. */
  GraceMs?: number;
}

const DEFAULT_GRACE_MS = 10_000;

/** Plays a script on a world. */
export class MockController implements Controller {
  readonly #world: MockWorld;
  readonly #id: string;
  readonly #script: MockScript;
  #failures = 0;

  constructor(world: MockWorld, id: string, script: MockScript) {
    this.#world = world;
    this.#id = id;
    this.#script = script;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    this.#called("prepare", signal);
    if (this.#program()) return;
    await sleep(this.#world.clock, this.#script.PrepareMs ?? 0, signal);
    // Another agent's call may have been the faster one.
    if (!this.#program()) this.#world.create(this.#id);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#called("start", signal);
    const program = this.#program() ?? this.#world.create(this.#id);
    if (program.started || program.exit) return;
    await sleep(this.#world.clock, this.#script.StartMs ?? 0, signal);
    if (this.#script.BlockStart) await orAbort(program.unblocked.promise, signal);
    // A later agent has started it, stopped it, or taken it away.
    if (this.#program() !== program) {
      throw new CoveyError("not_found", `Cannot start mock task ${this.#id}: it is gone`);
    }
    if (program.started || program.exit) return;
    this.#world.launch(this.#id, this.#script.RunMs, this.#script.ExitCode ?? 0);
    const { Output = "", Errors = "" } = this.#script;
    for (const line of Output.split("\n").slice(0, -1)) this.#world.print(this.#id, line);
    for (const line of Errors.split("\n").slice(0, -1)) this.#world.print(this.#id, line, "stderr");
  }

  async wait(signal: AbortSignal): Promise<Exit> {
    this.#called("wait", signal);
    const program = this.#program();
    if (!program) throw new CoveyError("not_found", `Cannot wait for mock task ${this.#id}: it is gone`);
    return program.exit ?? await orAbort(program.ended.promise, signal);
  }

  update(): Promise<void> {
    this.#world.calls.push(`update ${this.#id}`);
    return Promise.resolve();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#called("shutdown", signal);
    if (!this.#program()?.started) return this.#world.forestall(this.#id);
    if (!this.#script.IgnoreStop) return this.#world.stop(this.#id);
    await sleep(this.#world.clock, this.#script.GraceMs ?? DEFAULT_GRACE_MS, signal);
    this.#world.end(this.#id, { ExitCode: KILLED });
  }

  // deno-lint-ignore require-await -- a scripted failure rejects, it does not throw
  async terminate(signal: AbortSignal): Promise<void> {
    this.#called("terminate", signal);
    this.#world.forestall(this.#id);
    this.#world.end(this.#id, { ExitCode: KILLED });
  }

  // deno-lint-ignore require-await -- see above
  async remove(signal: AbortSignal): Promise<void> {
    this.#called("remove", signal);
    this.#world.vanish(this.#id);
  }

  handle(): Handle | undefined {
    return this.#program() && { version: 1, data: { TaskID: this.#id } };
  }

  status(): Promise<ContainerStatus | undefined> {
    const program = this.#program();
    if (!program?.started) return Promise.resolve(undefined);
    const { pid, exit } = program;
    return Promise.resolve({ ContainerID: "", PID: exit ? 0 : pid, ExitCode: exit?.ExitCode ?? 0 });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #program() {
    return this.#world.programs.get(this.#id);
  }

  /** Notes the call and lets it fail if the script says so. */
  #called(call: NonNullable<MockScript["FailAt"]>, signal: AbortSignal): void {
    this.#world.calls.push(`${call} ${this.#id}`);
    signal.throwIfAborted();
    const { FailAt, RetryableTimes, Error = "scripted failure" } = this.#script;
    if (FailAt !== call) return;
    if (RetryableTimes === undefined) {
      throw new CoveyError("failed_precondition", `Cannot ${call} mock task: ${Error}`);
    }
    if (this.#failures++ < RetryableTimes) {
      throw new CoveyError("unavailable", `Cannot ${call} mock task: ${Error}`);
    }
  }
}
