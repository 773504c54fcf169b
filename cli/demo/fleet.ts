/** A whole cluster on one machine: managers and device agents, each a process of its own with its own state folder. */
import { fileURLToPath } from "node:url";
import { CoveyError } from "../../api/errors.ts";
import { TOKEN_VARIABLE } from "../../api/handed_token.ts";
import { ControlClient } from "../client.ts";
import type { NodeView, SwarmView } from "../api_types.ts";

const MANAGER_LAUNCHER = fileURLToPath(new URL("../../manager/launch.sh", import.meta.url));
const AGENT_LAUNCHER = fileURLToPath(new URL("../../agent/launch.sh", import.meta.url));

/** Longest wait for a process to become reachable: a first start also reads every module from a slow SD card. */
const START_LIMIT_MS = 60_000;
/** Time for an orderly end before a process is killed. */
const STOP_GRACE_MS = 5_000;
/** How often a condition is looked at. */
const POLL_MS = 50;
/** Lines of a log that say why a process has ended. */
const LAST_LINES = 12;

/** One process of the fleet, with what it takes to start it again on the same state folder. */
interface Member {
  launcher: string;
  flags: string[];
  /** To join with. */
  token: string | undefined;
  child: Deno.ChildProcess;
  /** Resolves when the process and the copies of its output have ended. */
  done: Promise<void>;
  ended: boolean;
  /** Ended on purpose: nobody waits in vain for it. */
  wanted: boolean;
}

/** Options of {@linkcode Fleet}. */
export interface FleetOptions {
  /** Holds every state folder and log; removed at the end. */
  folder: string;
  /** The deno program. */
  deno: string;
  /** Engine socket for all nodes, or `none`. */
  docker: string;
}

/** Starts and ends the processes. */
export class Fleet {
  readonly socket: string;
  readonly client: ControlClient;
  readonly #options: FleetOptions;
  readonly #members = new Map<string, Member>();
  /** HOST:PORT of each manager, the first one's at first. */
  readonly #addresses: string[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
    this.socket = `${options.folder}/covey.sock`;
    this.client = new ControlClient(`unix://${this.socket}`);
  }

  /** HOST:PORT of the first manager. */
  get address(): string {
    return this.#addresses[0] ?? "";
  }

  /** Starts the first manager and waits until its API answers. `flags` are added to those that every manager gets. */
  async startManager(name: string, flags: string[] = []): Promise<void> {
    if (this.#addresses.length === 0) this.#addresses.push(`127.0.0.1:${freePort()}`);
    const own = ["--listen", this.address, "--advertise", this.address, "--api", this.socket];
    await this.#spawn(name, MANAGER_LAUNCHER, [...own, ...flags]);
    await this.waitUntil("the manager answers", () => this.#answers());
  }

  /**
   * Starts one more manager on a loopback address of its own, and waits until it votes; returns its address. All have the
   * same port, as managers on several machines would.
   */
  async addManager(name: string): Promise<string> {
    const nth = this.#addresses.length + 1;
    const address = `127.0.0.${nth}:${this.address.split(":")[1]}`;
    const { JoinTokens } = await this.client.get<SwarmView>("/swarm");
    const own = ["--listen", address, "--advertise", address, "--api", this.socketOf(nth)];
    await this.#spawn(name, MANAGER_LAUNCHER, [...own, "--join", this.address], JoinTokens.Manager);
    await this.waitUntil(`${name} is a manager`, async () => {
      const nodes = await this.client.get<NodeView[]>("/nodes");
      return nodes.some(({ ManagerStatus: status }) =>
        status?.Addr === address && status.Reachability === "reachable"
      );
    });
    this.#addresses.push(address);
    return address;
  }

  /** Control socket of the nth manager. */
  socketOf(nth: number): string {
    return nth === 1 ? this.socket : `${this.#options.folder}/covey-${nth}.sock`;
  }

  /** Starts a device's agent with a worker's join token. */
  async startAgent(name: string, flags: string[] = []): Promise<void> {
    const { JoinTokens } = await this.client.get<SwarmView>("/swarm");
    await this.#spawn(name, AGENT_LAUNCHER, ["--join", this.#addresses.join(), ...flags], JoinTokens.Worker);
  }

  /** Process ID of a member. */
  pid(name: string): number {
    return this.#member(name).child.pid;
  }

  /** Ends one process with `signal` and waits until it has ended. */
  async end(name: string, signal: Deno.Signal): Promise<void> {
    const member = this.#member(name);
    member.wanted = false;
    if (!member.ended) member.child.kill(signal);
    await member.done;
  }

  /** Starts an ended process again with the flags it had. */
  async restart(name: string): Promise<void> {
    const { launcher, flags, token } = this.#member(name);
    await this.#spawn(name, launcher, flags, token);
  }

  /** Starts every process again that has ended on its own or was killed by somebody else. */
  async revive(): Promise<void> {
    for (const [name, { ended, wanted }] of [...this.#members]) if (ended && wanted) await this.restart(name);
    await this.waitUntil("the manager answers", () => this.#answers());
  }

  /** What a process has printed so far. */
  log(name: string): Promise<string> {
    return Deno.readTextFile(`${this.#options.folder}/${name}.txt`);
  }

  /** Asks `done` until it says yes; throws with the last words of a process that has ended, or when time is up. */
  async waitUntil(what: string, done: () => Promise<boolean>): Promise<void> {
    const limit = performance.now() + START_LIMIT_MS;
    while (!await done()) {
      for (const [name, member] of this.#members) {
        if (!member.ended || !member.wanted) continue;
        const words = (await this.log(name)).split("\n").slice(-LAST_LINES).join("\n");
        throw new CoveyError("unavailable", `Cannot go on: ${name} has ended; its last words:\n${words}`);
      }
      if (performance.now() > limit) {
        throw new CoveyError(
          "deadline_exceeded",
          `Cannot go on: waited ${
            START_LIMIT_MS / 1000
          } s until ${what}; see the logs in ${this.#options.folder}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Ends every process, the agents first. */
  async stop(): Promise<void> {
    for (const [name, member] of [...this.#members].toReversed()) {
      const timer = setTimeout(() => member.ended || member.child.kill("SIGKILL"), STOP_GRACE_MS);
      await this.end(name, "SIGTERM");
      clearTimeout(timer);
    }
    this.client.close();
  }

  async #answers(): Promise<boolean> {
    try {
      await this.client.get("/swarm");
      return true;
    } catch (thrown) {
      if (thrown instanceof CoveyError) return false;
      throw thrown;
    }
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member) return member;
    throw new CoveyError(
      "not_found",
      `Cannot find process ${name}: there are ${[...this.#members.keys()].join(", ")}`,
    );
  }

  async #spawn(name: string, launcher: string, flags: string[], token?: string): Promise<void> {
    const { folder, deno, docker } = this.#options;
    const log = await Deno.open(`${folder}/${name}.txt`, { create: true, append: true });
    const child = new Deno.Command(launcher, {
      args: ["--state-dir", `${folder}/${name}`, "--hostname", name, "--docker", docker, ...flags],
      env: { COVEY_DENO: deno, ...token ? { [TOKEN_VARIABLE]: token } : {} },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // A session of its own: Ctrl-C at the terminal must reach the demo first, which then ends everything in order.
      detached: true,
    }).spawn();
    const copies = [child.stdout, child.stderr].map((stream) => copy(stream, log));
    // A log that cannot be written, on a full disk, must not end the demo before its processes.
    const done = Promise.allSettled([child.status, ...copies]).then(() => {
      member.ended = true;
      log.close();
    });
    const member: Member = { launcher, flags, token, child, done, ended: false, wanted: true };
    this.#members.set(name, member);
  }
}

async function copy(stream: ReadableStream<Uint8Array>, file: Deno.FsFile): Promise<void> {
  for await (const chunk of stream) await file.write(chunk);
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
