/**
 * An executor in one module: tasks that wait. Try it with
 *
 *     deno task run-agent --executor examples/executor/timer.ts …
 *
 * and a service with `TaskTemplate: { Runtime: "timer", GenericSpec: { Payload: { Seconds: 60, ExitCode: 0 }
 * } }`; without `Seconds` a task waits until it is stopped. What must survive the agent is one small file for
 * each task.
 */
import { sleep, systemClock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import type { Controller, Executor, ExecutorContext, Exit, Handle } from "../../executors/executor.ts";

interface Payload {
  Seconds?: number;
  ExitCode?: number;
}

/** Ends at `EndsAt` (milliseconds since 1970), or has ended if there is an `ExitCode`. */
interface Timer {
  EndsAt: number | null;
  ExitCode?: number;
}

class TimerController implements Controller {
  readonly #file: string;
  readonly #payload: Payload;
  #prepared: boolean;
  #stopped = new AbortController();
  #timer: Timer | undefined;

  constructor(file: string, payload: Payload, timer?: Timer) {
    this.#file = file;
    this.#payload = payload;
    this.#prepared = timer !== undefined;
    this.#timer = timer;
  }

  prepare() {
    this.#prepared = true;
    return Promise.resolve();
  }

  async start(signal: AbortSignal) {
    signal.throwIfAborted();
    const { Seconds } = this.#payload;
    await this.#begin({ EndsAt: Seconds === undefined ? null : Date.now() + Seconds * 1000 });
  }

  async wait(signal: AbortSignal): Promise<Exit> {
    signal.throwIfAborted();
    const either = AbortSignal.any([signal, this.#stopped.signal]);
    while (!this.#ended()) {
      const restMs = (this.#timer?.EndsAt ?? Infinity) - Date.now();
      await sleep(systemClock, restMs, either).catch(() => signal.throwIfAborted());
    }
    return { ExitCode: this.#exitCode() };
  }

  update() {
    return Promise.resolve();
  }

  async shutdown() {
    // A start that is under way, of an agent that was killed, finds that it has ended.
    await this.#begin({ EndsAt: null, ExitCode: 143 });
    if (!this.#ended()) await this.#save({ ...this.#timer!, ExitCode: 143 });
    this.#stopped.abort();
  }

  terminate() {
    return this.shutdown();
  }

  async remove() {
    await this.shutdown();
    this.#timer = undefined;
    await Deno.remove(this.#file).catch(() => {});
  }

  handle(): Handle | undefined {
    return this.#prepared ? { version: 1, data: { started: this.#timer !== undefined } } : undefined;
  }

  status() {
    return Promise.resolve(this.#timer && { ContainerID: "", PID: 0, ExitCode: this.#exitCode() });
  }

  close() {
    return Promise.resolve();
  }

  #ended() {
    return this.#timer?.ExitCode !== undefined || (this.#timer?.EndsAt ?? Infinity) <= Date.now();
  }

  /** 0 while it runs. */
  #exitCode() {
    return this.#timer?.ExitCode ?? (this.#ended() ? this.#payload.ExitCode ?? 0 : 0);
  }

  /** Unless it has begun: an agent that was killed may have done that, and not have lived to note it. */
  async #begin(timer: Timer) {
    if (this.#timer) return;
    try {
      await Deno.writeTextFile(this.#file, JSON.stringify(timer), { createNew: true });
      this.#timer = timer;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      this.#timer = JSON.parse(await Deno.readTextFile(this.#file)) as Timer;
    }
  }

  async #save(timer: Timer) {
    this.#timer = timer;
    await Deno.writeTextFile(this.#file, JSON.stringify(timer));
  }
}

function payloadOf(task: Task): Payload {
  const payload = (task.Spec.GenericSpec?.Payload ?? {}) as Payload;
  const wrong = Object.entries(payload).filter(([, value]) => typeof value !== "number");
  const problems = wrong.map(([key]) => ({
    field: `GenericSpec.Payload.${key}`,
    message: "must be a number",
  }));
  if (problems.length > 0) throw CoveyError.invalid("run timer", problems);
  return payload;
}

/** The factory that the agent calls. */
export default function timerExecutor({ stateDir }: ExecutorContext): Executor {
  const fileOf = (task: Task) => `${stateDir}/${task.ID}.json`;
  return {
    name: "timer",
    runtime: "timer",
    capabilities: [],
    describe: () => Promise.resolve({}),
    // deno-lint-ignore require-await -- a bad spec rejects, it does not throw
    controller: async (task) => new TimerController(fileOf(task), payloadOf(task)),
    recover: async (task) => {
      const text = await Deno.readTextFile(fileOf(task)).catch(() => {
        throw new CoveyError("not_found", `Cannot recover timer: nothing is left of task ${task.ID}`);
      });
      return new TimerController(fileOf(task), payloadOf(task), JSON.parse(text) as Timer);
    },
    close: () => Promise.resolve(),
  };
}
