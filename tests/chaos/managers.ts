import { fileURLToPath } from "node:url";
import { controlRequest } from "./control_request.ts";
import type { PrivateNetwork } from "./private_network.ts";

const LAUNCHER = fileURLToPath(new URL("../../manager/launch.sh", import.meta.url));
const PORT = 2377;
const START_LIMIT_MS = 60_000;
const POLL_MS = 50;
const PROBE_TIMEOUT_MS = 2_000;

interface Process {
  child: Deno.ChildProcess;
  ended: Promise<unknown>;
}

/** Managers of one cluster, each a process on a host of its own, on state folders that survive their kills. */
export class Managers {
  readonly network: PrivateNetwork;
  readonly count: number;
  /** Managers that ended although nobody had killed them, with their last words. */
  readonly crashes: string[] = [];
  readonly #folder: string;
  readonly #processes = new Map<number, Process>();
  #managerToken = "";

  constructor(network: PrivateNetwork, count: number, folder: string) {
    this.network = network;
    this.count = count;
    this.#folder = folder;
  }

  /** Path of a manager's control socket. */
  socket(index: number): string {
    return `${this.stateFolder(index)}/covey.sock`;
  }

  /** HOST:PORT of a manager in the private network. */
  address(index: number): string {
    return `${this.network.address(index)}:${PORT}`;
  }

  /** Process ID of a running manager. */
  pid(index: number): number | undefined {
    return this.#processes.get(index)?.child.pid;
  }

  /** Starts the first manager, then has the others join, one after another; the first `count` of them. */
  async startAll(count: number = this.count): Promise<void> {
    this.start(0);
    await this.waitUntil("the first manager answers", () => this.answers(0));
    const answer = await this.get(0, "/swarm");
    this.#managerToken = (answer as { JoinTokens: { Manager: string } }).JoinTokens.Manager;
    for (let index = 1; index < count; index++) {
      this.start(index);
      await this.waitUntil(`manager ${index} has joined`, () => this.isMember(index));
    }
  }

  /** Folder of all that a manager keeps, to which a start adds what is missing. */
  stateFolder(index: number): string {
    return `${this.#folder}/m${index}`;
  }

  /**
   * Starts a manager, for the first time or on what an earlier process has left; `by` is put before its command, and has to
   * turn into it.
   */
  start(index: number, by: string[] = []): void {
    const [program, ...enter] = [...by, ...this.network.enter(index)];
    const flags = ["--state-dir", this.stateFolder(index), "--hostname", `m${index}`];
    flags.push("--listen", this.address(index), "--advertise", this.address(index));
    flags.push("--no-agent", "--docker", "none");
    if (index > 0) flags.push("--join", this.address(0), "--token", this.#managerToken);
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", 'exec "$@" >>"$LOG" 2>&1', "sh", program!, ...enter, LAUNCHER, ...flags],
      env: { COVEY_DENO: Deno.execPath(), LOG: this.#log(index) },
      stdin: "null",
      // A session of its own: Ctrl-C reaches this program only, which then cleans up.
      detached: true,
    }).spawn();
    const process: Process = {
      child,
      ended: child.status.then(({ code }) => this.#noteEnd(index, process, code)),
    };
    this.#processes.set(index, process);
  }

  /** Ends a manager as a power cut would. */
  async kill(index: number): Promise<void> {
    const process = this.#processes.get(index);
    if (process === undefined) return;
    this.#processes.delete(index);
    process.child.kill("SIGKILL");
    await process.ended;
  }

  pause(index: number): void {
    this.#processes.get(index)?.child.kill("SIGSTOP");
  }

  resume(index: number): void {
    this.#processes.get(index)?.child.kill("SIGCONT");
  }

  async killAll(): Promise<void> {
    await Promise.all(Array.from({ length: this.count }, (_, index) => this.kill(index)));
  }

  /** A manager's answer to a GET; undefined if it is not 200. */
  async get(index: number, path: string): Promise<unknown> {
    const answer = await controlRequest(this.socket(index), "GET", path, undefined, PROBE_TIMEOUT_MS);
    return answer.kind === "answer" && answer.status === 200 ? JSON.parse(answer.body) : undefined;
  }

  /** Whether a manager answers a read of the cluster, by itself or through the leader. */
  async answers(index: number): Promise<boolean> {
    return await this.get(index, "/swarm") !== undefined;
  }

  /** Asks until it is so. Throws after a minute, or as soon as a manager has ended by itself. */
  async waitUntil(what: string, done: () => Promise<boolean>): Promise<void> {
    const limit = performance.now() + START_LIMIT_MS;
    while (!await done()) {
      const problem = this.crashes[0] ?? (performance.now() > limit ? "time is up" : undefined);
      if (problem !== undefined) throw new Error(`Cannot wait until ${what}: ${problem}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Whether a manager is in the quorum and answers. */
  async isMember(index: number): Promise<boolean> {
    if (!await this.answers(index)) return false;
    const nodes = await this.get(0, "/nodes") as { ManagerStatus?: { Addr: string; Reachability: string } }[];
    return nodes?.some(({ ManagerStatus }) =>
      ManagerStatus?.Addr === this.address(index) && ManagerStatus.Reachability === "reachable"
    ) ?? false;
  }

  #log(index: number): string {
    return `${this.#folder}/m${index}.log`;
  }

  async #noteEnd(index: number, process: Process, code: number): Promise<void> {
    if (this.#processes.get(index) !== process) return;
    this.#processes.delete(index);
    const log = await Deno.readTextFile(this.#log(index)).catch(() => "");
    const words = log.trimEnd().split("\n").slice(-12).join("\n");
    this.crashes.push(`manager ${index} ended by itself with status ${code}; its last words:\n${words}`);
  }
}
