/** Two swarms side by side, Docker's and ours, and what the stock client and the bare API say of each. */
import { fileURLToPath } from "node:url";
import { isTerminal } from "../../api/task_state.ts";
import type { ServiceView, TaskView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { withFleet } from "./e2e.ts";
import { normalizeDocker } from "./normalize_docker.ts";
import { TEST_ENGINE } from "./test_engine.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

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

/** An answer of the bare API. */
export interface BareAnswer {
  status: number;
  /** Its content type; empty if it has none. */
  type: string;
  text: string;
}

/** A cluster that the stock client is pointed at. */
export class Side {
  readonly #http: Deno.HttpClient;
  readonly #socket: string;
  readonly #port: string;

  /** `port` is the manager's; it is shown as Docker's 2377. */
  constructor(socket: string, port = "2377") {
    this.#socket = socket;
    this.#port = port;
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  }

  /**
   * Runs one command of the stock client, which is the `docker` on the PATH unless `program` names another; it reads `input`.
   */
  async run(args: string[], program = "docker", input?: string): Promise<Answer> {
    const command = new Deno.Command(program, {
      args: ["-H", `unix://${this.#socket}`, ...args],
      env: { DOCKER_CONFIG: "/nonexistent" },
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(COMMAND_LIMIT_MS),
    }).spawn();
    const given = input === undefined ? undefined : new Response(input).body!.pipeTo(command.stdin);
    const { code, stdout, stderr } = await command.output();
    await given?.catch(() => {});
    return { code, out: this.#text(stdout, code), err: this.#text(stderr, code) };
  }

  #text(bytes: Uint8Array, code: number): string {
    const text = new TextDecoder().decode(bytes).replaceAll(`:${this.#port}`, ":2377");
    return withoutProgress(normalizeDocker(text), code === 0);
  }

  /** One request of the bare API, as the stock client sends it. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const { status, text } = await this.send(
      method,
      path,
      body === undefined ? undefined : JSON.stringify(body),
    );
    return { status, text };
  }

  /** As {@linkcode call}, with the body's own text, by a client of any version. The manager's port is shown as Docker's. */
  async send(method: string, path: string, body?: string, version = "1.41"): Promise<BareAnswer> {
    const response = await fetch(`${SOCKET_ORIGIN}/v${version}${path}`, {
      client: this.#http,
      method,
      headers: { "User-Agent": "Docker-Client/20.10.24", "Content-Type": "application/json" },
      ...(body !== undefined && { body }),
    });
    const text = (await response.text()).replaceAll(`:${this.#port}"`, ':2377"');
    return { status: response.status, type: response.headers.get("content-type") ?? "", text };
  }

  async #get<T>(path: string): Promise<T> {
    return JSON.parse((await this.call("GET", path)).text);
  }

  /**
   * Waits until `count` tasks of a service run as its spec says, all others have ended or found no node, and no update is
   * under way. One that was just asked for may not show yet, but its tasks are not up to date.
   */
  async settle(service: string, count: number): Promise<void> {
    const limit = performance.now() + SETTLE_LIMIT_MS;
    const path = (filters: object) => `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}`;
    for (;;) {
      const { UpdateStatus, Spec } = await this.#get<ServiceView>(`/services/${service}`);
      const tasks = await this.#get<TaskView[]>(path({ service: [service] }));
      const current = await this.#get<TaskView[]>(path({ service: [service], "_up-to-date": ["true"] }));
      const running = tasks.filter(({ ID, DesiredState, Status }) =>
        Status.State === "running" && DesiredState === "running" && current.some((task) => task.ID === ID)
      );
      const ended = tasks.filter(({ DesiredState, Status }) =>
        DesiredState !== "remove" && (isTerminal(Status.State) || (Status.State === "pending" && Status.Err))
      );
      const updating = /^(updating|rollback_started)$/.test(UpdateStatus?.State ?? "");
      const haveCome = tasks.length > 0 || !("Replicated" in Spec.Mode && Spec.Mode.Replicated.Replicas);
      if (
        running.length === count && running.length + ended.length === tasks.length && !updating && haveCome
      ) {
        return;
      }
      if (performance.now() > limit) {
        const states = tasks.map(({ DesiredState, Status }) =>
          `${Status.State} (wanted ${DesiredState}) ${Status.Err ?? ""}`
        );
        throw new Error(`${service} has not settled at ${this.#socket}: ${states.join(", ")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  close(): void {
    this.#http.close();
  }
}

/** Lines of an attached command that tell of the way there; how often they come is chance. */
const PROGRESS = /^(?:overall progress: |verify: |\d+\/\d+:|<id>:)/;

/** Of an attached command's progress, how it ended; where it failed, how far the client happened to see it is chance, too. */
function withoutProgress(text: string, isDone: boolean): string {
  const lines = text.split("\n");
  const last = (pattern: RegExp) => lines.findLastIndex((line) => isDone && pattern.test(line));
  const kept = new Set([last(/^overall progress: /), last(/^verify: /)]);
  return lines.filter((line, index) => kept.has(index) || !PROGRESS.test(line)).join("\n");
}

/** Words of a command line: split at blanks, single quotes keep them. */
export function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s']+|'[^']*')+/g)].map(([word]) => word.replaceAll("'", ""));
}

/** Docker's swarm and ours. */
export interface Sides {
  docker: Side;
  covey: Side;
}

/** Runs `test` with both, each of one node with the machine's name. */
export function withSides(test: (sides: Sides) => Promise<void>): Promise<void> {
  return withFleet({ docker: TEST_ENGINE }, async (fleet) => {
    const dir = await Deno.makeTempDir({ prefix: "covey-peer-" });
    const opened: Side[] = [];
    try {
      const [docker, covey] = await Promise.all([peerSide(dir), coveySide(fleet)]);
      opened.push(docker, covey);
      await test({ docker, covey });
    } finally {
      for (const side of opened) side.close();
      await peer("down", dir);
      await Deno.remove(dir, { recursive: true });
    }
  });
}

async function peerSide(dir: string): Promise<Side> {
  return new Side(await peer("up", dir));
}

async function coveySide(fleet: Fleet): Promise<Side> {
  const engine = new Side(TEST_ENGINE);
  await engine.run(["tag", "busybox:local", "busybox:next"]);
  engine.close();
  await fleet.startManager(Deno.hostname());
  const side = new Side(fleet.socket, fleet.address.split(":")[1]);
  await fleet.waitUntil(
    "the node is ready",
    async () => (await side.run(["node", "ls"])).out.includes("Ready"),
  );
  return side;
}

/** Docker's swarm alone, and the way to end it and start it on what it kept. */
export async function withPeer(
  test: (docker: Side, again: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "covey-peer-" });
  let docker: Side | undefined;
  try {
    docker = await peerSide(dir);
    await test(docker, async () => void await peer("again", dir));
  } finally {
    docker?.close();
    await peer("down", dir);
    await Deno.remove(dir, { recursive: true });
  }
}

async function peer(command: string, dir: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(PEER, { args: [command, dir], stdin: "null" })
    .output();
  if (!success) throw new Error(`swarm_peer.sh ${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}
