/** What the agent beside this process learns in its sessions and leaves in its folder: the node's role, the managers. */
import type { CancelTimer, Clock } from "../../api/clock.ts";

/** How often the notes are read: two small files that the system holds in memory. */
const POLL_MS = 1_000;

/** Reads the notes while it runs. */
export class AgentNotes {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #onRole: (role: string) => void;
  #managers: string[] = [];
  #role = "";
  #cancel: CancelTimer = () => {};
  #stopped = false;

  /** `onRole` is called with each role that differs from the last one. */
  constructor(folder: string, clock: Clock, onRole: (role: string) => void) {
    this.#folder = folder;
    this.#clock = clock;
    this.#onRole = onRole;
  }

  /** HOST:PORT of the managers that the cluster last told of; empty if it never did. */
  get managers(): readonly string[] {
    return this.#managers;
  }

  /** Reads them, and again and again. */
  async start(): Promise<void> {
    const [role, managers] = await Promise.all([this.#read("role"), this.#read("managers")]);
    if (this.#stopped) return;
    this.#managers = managers.split("\n").filter((line) => line !== "");
    this.#cancel = this.#clock.setTimer(POLL_MS, () => void this.start());
    if (role === this.#role) return;
    this.#role = role;
    this.#onRole(role);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #read(name: string): Promise<string> {
    return await Deno.readTextFile(`${this.#folder}/${name}`).catch(() => "");
  }
}
