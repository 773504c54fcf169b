/** An agent as an installed one is kept: whenever it has ended it is started again, as by systemd. */
import { START_AGAIN } from "../../api/parent.ts";
import { Program, ROOT } from "./programs.ts";

/** `RestartSec` of the unit (install/install.sh). */
const PAUSE_MS = 5_000;

/** Started by its launcher, in its sandbox. */
export class KeptAgent {
  readonly #flags: string[];
  readonly #stopped = Promise.withResolvers<void>();
  readonly #kept: Promise<void>;
  #program: Program;
  #isStopped = false;
  /** How often it asked to be started again. */
  renewals = 0;
  /** What all of it has printed that has ended. */
  #said = "";

  constructor(flags: string[]) {
    this.#flags = flags;
    this.#program = this.#start();
    this.#kept = this.#keep();
  }

  /** Of the agent that runs, or ran last. */
  get pid(): number {
    return this.#program.pid;
  }

  get output(): string {
    return this.#said + this.#program.output;
  }

  /** Ends it for good; its tasks' programs go on, unless they are ended. */
  async end(): Promise<void> {
    this.#isStopped = true;
    this.#stopped.resolve();
    await this.#program.end();
    await this.#kept;
  }

  #start(): Program {
    return new Program(`${ROOT}agent/launch.sh`, this.#flags, { COVEY_KEPT: "yes" });
  }

  async #keep(): Promise<void> {
    while (true) {
      const code = await this.#program.ended;
      if (this.#isStopped) return;
      if (code !== START_AGAIN) throw new Error(`the agent has ended with ${code}:\n${this.#program.output}`);
      this.renewals++;
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        this.#stopped.promise,
        new Promise((resolve) => timer = setTimeout(resolve, PAUSE_MS)),
      ]);
      clearTimeout(timer);
      if (this.#isStopped) return;
      this.#said += this.#program.output;
      this.#program = this.#start();
    }
  }
}
