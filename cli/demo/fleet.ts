/** A whole cluster on one machine: a manager and some device agents, each a process of its own with its own state folder. */
import { fileURLToPath } from "node:url";
import { CoveyError } from "../../api/errors.ts";
import { ControlClient } from "../client.ts";
import type { SwarmView } from "../api_types.ts";

const MANAGER_LAUNCHER = fileURLToPath(new URL("../../manager/launch.sh", import.meta.url));
const AGENT_LAUNCHER = fileURLToPath(new URL("../../agent/launch.sh", import.meta.url));

/** Longest wait for a process to become reachable: a first start also reads every module from a slow SD card. */
const START_LIMIT_MS = 60_000;
/** Time for an orderly end before a process is killed. */
const STOP_GRACE_MS = 5_000;

/** One process of the fleet. */
interface Member {
  name: string;
  child: Deno.ChildProcess;
  ended: boolean;
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
  readonly #members: Member[] = [];
  #address = "";

  constructor(options: FleetOptions) {
    this.#options = options;
    this.socket = `${options.folder}/covey.sock`;
    this.client = new ControlClient(`unix://${this.socket}`);
  }

  /** HOST:PORT of the manager. */
  get address(): string {
    return this.#address;
  }

  /** Starts the manager and waits until its API answers. */
  async startManager(hostname: string): Promise<void> {
    this.#address = `127.0.0.1:${freePort()}`;
    const flags = ["--listen", this.#address, "--advertise", this.#address, "--api", this.socket];
    await this.#spawn(hostname, MANAGER_LAUNCHER, flags);
    await this.waitUntil("the manager answers", async () => {
      try {
        await this.client.get("/swarm");
        return true;
      } catch (thrown) {
        if (thrown instanceof CoveyError) return false;
        throw thrown;
      }
    });
  }

  /** Starts a device's agent with a worker's join token. */
  async startAgent(hostname: string): Promise<void> {
    const { JoinTokens } = await this.client.get<SwarmView>("/swarm");
    await this.#spawn(hostname, AGENT_LAUNCHER, ["--join", this.#address, "--token", JoinTokens.Worker]);
  }

  /** Asks `done` until it says yes; throws with the names of the processes' logs when time is up or one has ended. */
  async waitUntil(what: string, done: () => Promise<boolean>): Promise<void> {
    const limit = performance.now() + START_LIMIT_MS;
    while (!await done()) {
      const dead = this.#members.find((member) => member.ended);
      if (dead) {
        throw new CoveyError(
          "unavailable",
          `Cannot go on: ${dead.name} has ended; its last words:\n${await this.#lastWords(dead.name)}`,
        );
      }
      if (performance.now() > limit) {
        throw new CoveyError(
          "deadline_exceeded",
          `Cannot go on: waited ${
            START_LIMIT_MS / 1000
          } s until ${what}; see the logs in ${this.#options.folder}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async #spawn(name: string, launcher: string, flags: string[]): Promise<void> {
    const { folder, deno, docker } = this.#options;
    const stateDir = `${folder}/${name}`;
    const log = await Deno.open(`${folder}/${name}.txt`, { create: true, append: true });
    const child = new Deno.Command(launcher, {
      args: ["--state-dir", stateDir, "--hostname", name, "--docker", docker, ...flags],
      env: { COVEY_DENO: deno },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // A session of its own: Ctrl-C at the terminal must reach the demo first, which then ends everything in order.
      detached: true,
    }).spawn();
    const member: Member = { name, child, ended: false };
    this.#members.push(member);
    const copies = [child.stdout, child.stderr].map((stream) => copy(stream, log));
    void Promise.all([child.status, ...copies]).then(() => {
      member.ended = true;
      log.close();
    });
  }

  async #lastWords(name: string): Promise<string> {
    const text = await Deno.readTextFile(`${this.#options.folder}/${name}.txt`);
    return text.split("\n").slice(-12).join("\n");
  }

  /** Ends every process, the agents first. */
  async stop(): Promise<void> {
    this.client.close();
    for (const member of this.#members.toReversed()) {
      if (member.ended) continue;
      member.child.kill("SIGTERM");
      const timer = setTimeout(() => member.ended || member.child.kill("SIGKILL"), STOP_GRACE_MS);
      await member.child.status;
      clearTimeout(timer);
    }
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
