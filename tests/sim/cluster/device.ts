/** A device's programs, and an executor whose calls die with the agent that makes them. */
import type { Controller, Executor, Sweeper } from "../../../executors/executor.ts";
import { createMockExecutor } from "../../../executors/mock/mock_executor.ts";
import { type MockProgram, MockWorld } from "../../../executors/mock/mock_world.ts";
import { START_MS, type World } from "./world.ts";
import type { Host } from "./host.ts";
import type { TaskChecker } from "./task_checker.ts";

/** What runs on a device: it goes on while the agent is away, and ends with the power. */
export class SimDevice extends MockWorld {
  readonly #name: string;
  readonly #checker: Pick<TaskChecker, "starts">;
  #boots = 1;

  constructor(name: string, world: World, checker: Pick<TaskChecker, "starts">) {
    // What the machine was busy with ends with its power.
    super({
      now: () => START_MS + world.now,
      monotonic: () => world.now,
      setTimer: (delayMs, run) => {
        const powered = this.#boots;
        return world.queue.timer(delayMs, () => powered === this.#boots && run());
      },
    });
    this.#name = name;
    this.#checker = checker;
  }

  override launch(taskID: string, runMs: number | undefined, exitCode: number): void {
    this.#checker.starts(this.#name, taskID);
    super.launch(taskID, runMs, exitCode);
  }

  /** Identifies the machine's present boot. */
  get bootID(): string {
    return `boot-${this.#boots}`;
  }

  /** Every program is gone at once. */
  powerOff(): void {
    this.#boots++;
    this.programs.clear();
  }

  /** Tasks whose programs run. */
  get running(): string[] {
    const runs = ({ started, exit }: MockProgram) => started && exit === undefined;
    return [...this.programs].filter(([, program]) => runs(program)).map(([id]) => id);
  }
}

/** The mock executor for the present life of `host`: what it is asked, and what it answers, ends with that. */
export function executorOn(device: SimDevice, host: Host): Executor & Sweeper {
  return tiedTo(host, createMockExecutor(device));
}

/** `executor` for the present life of `host`. */
export function tiedTo(host: Host, executor: Executor & Sweeper): Executor & Sweeper {
  const { life } = host;
  const tied = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) =>
      host.enter(life, () => {
        work().then(
          (value) => host.enter(life, () => resolve(value)),
          (error) => host.enter(life, () => reject(error)),
        );
      })
    );
  const tiedController = (controller: Controller): Controller => ({
    prepare: (signal) => tied(() => controller.prepare(signal)),
    start: (signal) => tied(() => controller.start(signal)),
    wait: (signal) => tied(() => controller.wait(signal)),
    update: (task) => tied(() => controller.update(task)),
    shutdown: (signal) => tied(() => controller.shutdown(signal)),
    terminate: (signal) => tied(() => controller.terminate(signal)),
    remove: (signal) => tied(() => controller.remove(signal)),
    handle: () => controller.handle(),
    status: () => tied(() => controller.status()),
    close: () => tied(() => controller.close()),
  });
  return {
    name: executor.name,
    runtime: executor.runtime,
    capabilities: executor.capabilities,
    describe: (signal) => tied(() => executor.describe(signal)),
    controller: (task) => tied(() => executor.controller(task)).then(tiedController),
    recover: (task, handle) => tied(() => executor.recover(task, handle)).then(tiedController),
    sweep: (keep, signal) => tied(() => executor.sweep(keep, signal)),
    close: () => executor.close(),
  };
}
