/** What exists outside the agent in tests: the mock executor's programs, which outlive any one executor object. */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { type LogStream, logTime } from "../../api/logs.ts";
import type { Exit, LogStep } from "../executor.ts";

/** Exit code of a program ended by the stop signal. */
const TERMINATED = 143;
/** Exit code of a program that was killed. */
export const KILLED = 137;

/** One pretended program. */
export interface MockProgram {
  pid: number;
  started: boolean;
  /** Lets a blocked start go on. */
  unblocked: PromiseWithResolvers<void>;
  exit?: Exit;
  ended: PromiseWithResolvers<Exit>;
  cancelRun?: CancelTimer;
  /** What it has printed. */
  lines: Exclude<LogStep, string>[];
  /** Called when it prints, or ends. */
  readers: Set<() => void>;
}

/** The pretended device. */
export class MockWorld {
  readonly clock: Clock;
  readonly programs = new Map<string, MockProgram>();
  /** Calls that reached a controller, as `start task1`; for tests of the order. */
  readonly calls: string[] = [];
  #pid = 1000;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  create(taskID: string): MockProgram {
    const program = {
      pid: this.#pid++,
      started: false,
      unblocked: Promise.withResolvers<void>(),
      ended: Promise.withResolvers<Exit>(),
      lines: [],
      readers: new Set<() => void>(),
    };
    this.programs.set(taskID, program);
    return program;
  }

  /** The program runs from now on, for `runMs` if that is given. */
  launch(taskID: string, runMs: number | undefined, exitCode: number): void {
    const program = this.programs.get(taskID)!;
    program.started = true;
    if (runMs === undefined) return;
    program.cancelRun = this.clock.setTimer(runMs, () => this.end(taskID, { ExitCode: exitCode }));
  }

  /** One that was made ready and never started will not be started any more, also not by a call that is under way. */
  forestall(taskID: string): void {
    const program = this.programs.get(taskID);
    if (!program || program.started || program.exit) return;
    program.exit = { ExitCode: TERMINATED };
    program.ended.resolve(program.exit);
  }

  /** Ends the program as if by itself. */
  end(taskID: string, exit: Exit): void {
    const program = this.programs.get(taskID);
    if (!program?.started || program.exit) return;
    program.cancelRun?.();
    program.exit = exit;
    program.ended.resolve(exit);
    for (const wake of program.readers) wake();
  }

  /** The program prints. */
  print(taskID: string, text: string, stream: LogStream = "stdout"): void {
    const program = this.programs.get(taskID);
    if (!program) return;
    const Time = logTime(this.clock.now());
    program.lines.push({ Stream: stream, Time, Data: new TextEncoder().encode(`${text}\n`) });
    for (const wake of program.readers) wake();
  }

  /** The stop signal arrives. */
  stop(taskID: string): void {
    this.end(taskID, { ExitCode: TERMINATED });
  }

  /** Lets a start with `BlockStart` go on. */
  unblock(taskID: string): void {
    this.programs.get(taskID)?.unblocked.resolve();
  }

  /** Takes the program away behind the executor's back. */
  vanish(taskID: string): void {
    this.end(taskID, { ExitCode: KILLED });
    this.programs.delete(taskID);
  }
}
