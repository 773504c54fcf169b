/** What the agent beside this process learns in its sessions and leaves in its folder: the node's role, managers, roots. */
import type { CancelTimer, Clock } from "../../api/clock.ts";

/** How often the notes are read: three small files that the system holds in memory. */
const POLL_MS = 1_000;

/** What managers say of roots: the cluster's (PEM; empty where none has said so yet), and whose certificate the node is to have, as `Node.Renewal` says it. */
export interface RootsNote {
  RootCA: string;
  Issuer?: string;
}

/** What is told of the notes. */
export interface NotesHooks {
  /** Each role that differs from the last one. */
  role(role: string): void;
  /** The same of roots. */
  roots(note: RootsNote): void;
}

/** Reads the notes while it runs. */
export class AgentNotes {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #on: NotesHooks;
  #roots = "";
  #managers: string[] = [];
  #role = "";
  #cancel: CancelTimer = () => {};
  #stopped = false;

  constructor(folder: string, clock: Clock, on: NotesHooks) {
    this.#folder = folder;
    this.#clock = clock;
    this.#on = on;
  }

  /** HOST:PORT of the managers that the cluster last told of; empty if it never did. */
  get managers(): readonly string[] {
    return this.#managers;
  }

  /** Reads them, and again and again. */
  async start(): Promise<void> {
    const [role, managers, roots] = await Promise.all(
      ["role", "managers", "roots"].map((name) => this.#read(name)),
    ) as [string, string, string];
    if (this.#stopped) return;
    this.#managers = managers.split("\n").filter((line) => line !== "");
    this.#cancel = this.#clock.setTimer(POLL_MS, () => void this.start());
    if (roots !== this.#roots) {
      this.#roots = roots;
      const note = parseRoots(roots);
      if (note) this.#on.roots(note);
    }
    if (role === this.#role) return;
    this.#role = role;
    this.#on.role(role);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #read(name: string): Promise<string> {
    return await Deno.readTextFile(`${this.#folder}/${name}`).catch(() => "");
  }
}

/** Undefined for a file that is damaged: the next session writes it anew. */
function parseRoots(text: string): RootsNote | undefined {
  try {
    const { RootCA, Issuer } = JSON.parse(text);
    if (typeof RootCA !== "string") return undefined;
    return { RootCA, ...(typeof Issuer === "string" && { Issuer }) };
  } catch {
    return undefined;
  }
}
