/** Two swarms side by side, Docker's and ours, and the stock client's words to each. */
import { fileURLToPath } from "node:url";
import type { ServiceView, TaskView } from "../../cli/api_types.ts";
import { ControlClient } from "../../cli/client.ts";
import { isTerminal } from "../../api/task_state.ts";
import { normalizeDocker } from "./normalize_docker.ts";

const PEER = fileURLToPath(new URL("swarm_peer.sh", import.meta.url));
const POLL_MS = 50;
const SETTLE_LIMIT_MS = 20_000;
/** A command that takes longer has hung, and is ended. */
const COMMAND_LIMIT_MS = 20_000;

/** What one command did. */
export interface Answer {
  code: number;
  /** Standard output and error, normalized. */
  out: string;
  err: string;
}

/** A cluster that the stock client is pointed at. */
export class Side {
  readonly #client: ControlClient;

  /** `port` is the manager's, written as Docker's 2377. */
  constructor(readonly socket: string, readonly port = "2377", readonly program = "docker") {
    this.#client = new ControlClient(`unix://${socket}`);
  }

  /** Runs one command of the stock client. */
  async run(args: string[]): Promise<Answer> {
    const command = new Deno.Command(this.program, {
      args: ["-H", `unix://${this.socket}`, ...args],
      env: { DOCKER_CONFIG: "/nonexistent", DOCKER_CLI_HINTS: "false" },
      stdin: "null",
      signal: AbortSignal.timeout(COMMAND_LIMIT_MS),
    });
    const { code, stdout, stderr } = await command.output();
    return { code, out: this.#text(stdout), err: this.#text(stderr) };
  }

  #text(bytes: Uint8Array): string {
    const text = new TextDecoder().decode(bytes).replaceAll(`:${this.port}`, ":2377");
    return withoutProgress(normalizeDocker(text));
  }

  /** Waits until `count` tasks of a service run, all others have ended or found no node, and no update is under way. */
  async settle(service: string, count: number): Promise<void> {
    const limit = performance.now() + SETTLE_LIMIT_MS;
    for (;;) {
      const { UpdateStatus } = await this.#client.get<ServiceView>(`/services/${service}`);
      const tasks = await this.#client.get<TaskView[]>("/tasks", { filters: { service: [service] } });
      const running = tasks.filter((task) => task.Status.State === "running" && task.DesiredState === "running");
      const done = tasks.filter(({ DesiredState, Status }) =>
        DesiredState !== "remove" && (isTerminal(Status.State) || (Status.State === "pending" && Status.Err))
      );
      const updating = /^(updating|rollback_started)$/.test(UpdateStatus?.State ?? "");
      if (running.length === count && running.length + done.length === tasks.length && !updating) return;
      if (performance.now() > limit) {
        throw new Error(`${this.socket}: ${service} has not settled: ${UpdateStatus?.State} ${tasks.map((task) => `${task.Status.State} (wanted ${task.DesiredState}, ${task.Status.Err})`)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  close(): void {
    this.#client.close();
  }
}

/** An attached command prints as often as something changes; only how it ended is the same every time. */
function withoutProgress(text: string): string {
  const lines = text.split("\n");
  const last = (pattern: RegExp) => lines.findLastIndex((line) => pattern.test(line));
  const kept = new Set([last(/^overall progress: /), last(/^verify: /)]);
  return lines.filter((line, index) => kept.has(index) || !PROGRESS.test(line)).join("\n");
}

const PROGRESS = /^(?:overall progress: |verify: |\d+\/\d+:|<id>:)/;

/** Words of a command line: split at blanks, single quotes keep them. */
export function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s']+|'[^']*')+/g)].map(([word]) => word.replaceAll("'", ""));
}

/** Starts a real Docker Swarm in `dir`; resolves with its socket. */
export function startPeer(dir: string): Promise<string> {
  return peer("up", dir);
}

/** Ends the swarm of {@linkcode startPeer}. */
export async function stopPeer(dir: string): Promise<void> {
  await peer("down", dir);
}

async function peer(command: string, dir: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(PEER, { args: [command, dir], stdin: "null" }).output();
  if (!success) throw new Error(`swarm_peer.sh ${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}
