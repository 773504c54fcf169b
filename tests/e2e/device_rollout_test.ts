/** Rollouts on six devices, every program a process. What runs is counted by process ID and start time. */
import { processesOf } from "../agent/support/processes.ts";
import type { TaskSpec } from "../../api/service.ts";
import { type Kind, showRollouts } from "./device_rollout_script.ts";

class Processes implements Kind {
  readonly docker = "none";
  readonly #programs = new Map<number, readonly string[]>();

  prepare(version: number, program: readonly string[]): Promise<void> {
    this.#programs.set(version, program);
    return Promise.resolve();
  }

  task(version: number) {
    const [Command = "", ...Args] = this.#programs.get(version)!;
    return { Runtime: "process", ProcessSpec: { Command, Args, StopGracePeriod: 1e9 } };
  }

  isOf(version: number, { ProcessSpec }: TaskSpec): boolean {
    return ProcessSpec?.Args?.at(-1) === this.#programs.get(version)!.at(-1);
  }

  running(version: number): Promise<string[]> {
    return Promise.resolve(processesOf(this.#programs.get(version)!));
  }
}

Deno.test("E2E: six devices go through good, bad, paused and aborted rollouts, back by themselves, and away and back", () =>
  showRollouts(new Processes()));
