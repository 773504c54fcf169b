/** An executor whose tasks do as they are told, and go on when the agent is gone. */
import { CoveyError } from "../../../api/errors.ts";
import type { Task } from "../../../api/task.ts";
import type {
  Controller,
  Executor,
  ExecutorDescription,
  Exit,
  Handle,
  Sweeper,
} from "../../../executors/executor.ts";

/** One program: `exit` ends it. */
export class Program {
  readonly calls: string[] = [];
  /** Thrown by the next calls of that name. */
  readonly errors: Partial<Record<"controller" | "prepare" | "start" | "remove" | "shutdown", CoveyError[]>> =
    {};
  /** While set, the call of that name waits. */
  readonly blocks: Partial<Record<"prepare" | "start" | "shutdown", Promise<void>>> = {};
  /** What its controller's handle holds besides the ID; a fault of an executor may put anything there. */
  handleData: Record<string, unknown> = {};
  /** Its container's process ID, or what an executor takes for one. */
  pid: unknown = 7;
  running = false;
  ended: Exit | undefined;
  #listeners = new Set<(exit: Exit) => void>();
  #startedByHand = Promise.withResolvers<void>();

  constructor(readonly id: string) {}

  /** Ends the program by itself. */
  exit(ExitCode: number): void {
    this.running = false;
    this.ended = { ExitCode };
    for (const listener of [...this.#listeners]) listener(this.ended);
  }

  /** Runs again, by somebody else's doing. */
  startByHand(): void {
    this.running = true;
    this.ended = undefined;
    this.#startedByHand.resolve();
    this.#startedByHand = Promise.withResolvers();
  }

  /** Resolves once it runs by somebody else's doing. */
  get startedByHand(): Promise<void> {
    return this.running ? Promise.resolve() : this.#startedByHand.promise;
  }

  onExit(listener: (exit: Exit) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Times that `call` was made. */
  count(call: string): number {
    return this.calls.filter((c) => c === call).length;
  }

  async call(
    name: "controller" | "prepare" | "start" | "remove" | "shutdown",
    signal?: AbortSignal,
  ): Promise<void> {
    this.calls.push(name);
    const error = this.errors[name]?.shift();
    if (error) throw error;
    const block = name === "controller" || name === "remove" ? undefined : this.blocks[name];
    if (block) await Promise.race([block, aborted(signal)]);
    signal?.throwIfAborted();
  }
}

/** The device: programs by task ID, which outlive any agent. `reboot` ends them all without a trace. */
export class Device {
  readonly programs = new Map<string, Program>();
  /** Undefined: the executor cannot describe itself now. */
  hostname: string | undefined = "device";
  /** Looks for leftovers so far. */
  sweeps = 0;
  /** Thrown by the next recoveries. */
  recoverErrors: CoveyError[] = [];

  program(id: string): Program {
    const found = this.programs.get(id) ?? new Program(id);
    this.programs.set(id, found);
    return found;
  }

  get running(): string[] {
    return [...this.programs.values()].filter((p) => p.running).map((p) => p.id);
  }

  reboot(): void {
    for (const program of this.programs.values()) program.running = false;
  }

  executor(): Executor {
    return new ScriptedExecutor(this);
  }
}

class ScriptedExecutor implements Executor, Sweeper {
  readonly name = "scripted";
  readonly runtime = "process";
  readonly capabilities = ["sweep"] as const;
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  describe(): Promise<ExecutorDescription> {
    const Hostname = this.#device.hostname;
    if (Hostname === undefined) {
      return Promise.reject(new CoveyError("unavailable", "Cannot describe: engine is down"));
    }
    return Promise.resolve({ Hostname });
  }

  async controller(task: Task): Promise<Controller> {
    const program = this.#device.program(task.ID);
    await program.call("controller");
    return new ScriptedController(program);
  }

  recover(task: Task, handle: Handle): Promise<Controller> {
    const program = this.#device.program(task.ID);
    program.calls.push("recover");
    const error = this.#device.recoverErrors.shift();
    if (error) return Promise.reject(error);
    if (handle.data.id !== task.ID || (!program.running && !program.ended)) {
      return Promise.reject(new CoveyError("not_found", "Cannot recover: nothing is left"));
    }
    return Promise.resolve(new ScriptedController(program));
  }

  sweep(keep: (taskID: string) => boolean): Promise<string[]> {
    this.#device.sweeps++;
    const left = this.#device.running.filter((id) => !keep(id));
    for (const id of left) this.#device.program(id).running = false;
    return Promise.resolve(left);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class ScriptedController implements Controller {
  readonly #program: Program;
  #prepared = false;

  constructor(program: Program) {
    this.#program = program;
    this.#prepared = program.running || program.ended !== undefined;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.#program.call("prepare", signal);
    this.#prepared = true;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#program.call("start", signal);
    this.#program.running = true;
    this.#program.ended = undefined;
  }

  wait(signal: AbortSignal): Promise<Exit> {
    const program = this.#program;
    if (program.ended) return Promise.resolve(program.ended);
    return new Promise((resolve, reject) => {
      const stop = program.onExit((exit) => {
        signal.removeEventListener("abort", onAbort);
        stop();
        resolve(exit);
      });
      const onAbort = () => {
        stop();
        reject(signal.reason);
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async revived(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#program.startedByHand, aborted(signal)]);
  }

  update(): Promise<void> {
    this.#program.calls.push("update");
    return Promise.resolve();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#program.call("shutdown", signal);
    this.#program.running = false;
  }

  terminate(): Promise<void> {
    this.#program.running = false;
    return Promise.resolve();
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.#program.call("remove", signal);
    this.#program.running = false;
    this.#program.ended = undefined;
  }

  handle(): Handle | undefined {
    return this.#prepared
      ? { version: 1, data: { ...this.#program.handleData, id: this.#program.id } as Handle["data"] }
      : undefined;
  }

  status() {
    return Promise.resolve({ ContainerID: this.#program.id, PID: this.#program.pid as number, ExitCode: 0 });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function aborted(signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true })
  );
}
