/** Several real managers on this machine, each a process on a loopback address of its own with the same port. */
import { strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { NodeView, SwarmView } from "../../cli/api_types.ts";
import { ControlClient } from "../../cli/client.ts";

const LAUNCHER = fileURLToPath(new URL("../../manager/launch.sh", import.meta.url));
const SHIM = fileURLToPath(new URL("../../executors/process/shim.sh", import.meta.url));
/** Longest wait for a condition; only a failure takes that long. */
const LIMIT_MS = 30_000;
const POLL_MS = 20;

interface Running {
  flags: string[];
  child: Deno.ChildProcess;
  done: Promise<unknown>;
}

/** Starts, kills and ends the managers, which are named m1, m2, … */
export class ManagerFleet {
  readonly folder: string;
  readonly #port: number;
  readonly #agents: boolean;
  readonly #running = new Map<string, Running>();
  readonly #clients = new Map<string, ControlClient>();

  constructor(folder: string, options: { agents?: boolean } = {}) {
    this.folder = folder;
    this.#agents = options.agents ?? false;
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#port = (listener.addr as Deno.NetAddr).port;
    listener.close();
  }

  /** HOST:PORT of a manager. */
  address(name: string): string {
    return `127.0.0.${name.slice(1)}:${this.#port}`;
  }

  /** The process of a manager that was started. */
  pid(name: string): number {
    return this.#running.get(name)!.child.pid;
  }

  /** A client of this manager's control API. */
  client(name: string): ControlClient {
    let client = this.#clients.get(name);
    if (!client) this.#clients.set(name, client = new ControlClient(`unix://${this.folder}/${name}.sock`));
    return client;
  }

  /** Starts a manager: m1 a new cluster, others with the token of `through`; again with the same flags if it ran before. */
  async start(name: string, how: { through?: string; role?: "Manager" | "Worker" } = {}): Promise<void> {
    const { through, role = "Manager" } = how;
    let flags = this.#running.get(name)?.flags;
    if (!flags) {
      flags = this.#flags(name);
      if (through) {
        const { JoinTokens } = await this.client(through).get<SwarmView>("/swarm");
        flags.push("--join", this.address(through), "--token", JoinTokens[role]);
      }
    }
    await this.#spawn(name, flags);
    await this.until(`${name} is in`, async () => await this.state(name) === "active");
  }

  /** Starts a manager that ran before, and waits for the state that it says it is in. */
  async again(name: string, state: string): Promise<void> {
    await this.#spawn(name, this.#running.get(name)!.flags);
    await this.until(`${name} is ${state}`, async () => await this.state(name) === state);
  }

  /** As {@linkcode again}, whatever state it comes to. */
  async restart(name: string): Promise<void> {
    await this.#spawn(name, this.#running.get(name)!.flags);
    await this.until(
      `${name} has started`,
      async () => ["active", "locked"].includes(await this.state(name)),
    );
  }

  /** Starts a manager that waits to be told which cluster to join. */
  async idle(name: string): Promise<void> {
    await this.#spawn(name, [...this.#flags(name), "--idle"]);
    await this.until(`${name} answers`, async () => await this.state(name) === "inactive");
  }

  #flags(name: string): string[] {
    return [
      ...["--state-dir", `${this.folder}/${name}`, "--api", `${this.folder}/${name}.sock`],
      ...["--listen", this.address(name), "--advertise", this.address(name)],
      ...["--hostname", name, "--docker", "none"],
      ...(this.#agents ? [] : ["--no-agent"]),
    ];
  }

  /** What a manager says of itself. */
  async state(name: string): Promise<string> {
    const { Swarm } = await this.client(name).get<{ Swarm: { LocalNodeState: string } }>("/info");
    return Swarm.LocalNodeState;
  }

  async #spawn(name: string, flags: string[]): Promise<void> {
    const log = await Deno.open(`${this.folder}/${name}.txt`, { create: true, append: true });
    const child = new Deno.Command(LAUNCHER, {
      args: flags,
      env: { COVEY_DENO: Deno.execPath() },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
    const copies = [child.stdout, child.stderr].map(async (stream) => {
      for await (const chunk of stream) await log.write(chunk);
    });
    const done = Promise.all([child.status, ...copies]).then(() => log.close());
    this.#running.set(name, { flags, child, done });
  }

  /** Sends a signal to a manager; waits for its end unless it only pauses. */
  async signal(name: string, signal: Deno.Signal): Promise<void> {
    const { child, done } = this.#running.get(name)!;
    child.kill(signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await done;
  }

  /** Nodes as a manager shows them; undefined while it cannot. */
  async nodes(name: string): Promise<NodeView[] | undefined> {
    return await this.client(name).get<NodeView[]>("/nodes").catch(() => undefined);
  }

  /** The name of the manager that leads, in the eyes of `name`. */
  async leader(name: string): Promise<string | undefined> {
    const node = (await this.nodes(name))?.find(({ ManagerStatus }) => ManagerStatus?.Leader);
    return node && `m${node.ManagerStatus!.Addr.split(":")[0]!.split(".")[3]}`;
  }

  /** Waits until `done` says yes; what it throws counts as no. */
  async until(what: string, done: () => Promise<boolean>): Promise<void> {
    const limit = performance.now() + LIMIT_MS;
    let failure: unknown;
    while (performance.now() < limit) {
      if (await done().catch((thrown) => failure = thrown) === true) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`waited in vain until ${what}`, { cause: failure });
  }

  /** Ends every process. */
  async stop(): Promise<void> {
    for (const { child, done } of this.#running.values()) {
      try {
        child.kill("SIGCONT");
        child.kill("SIGTERM");
      } catch {
        // It has ended already.
      }
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await done;
      clearTimeout(timer);
    }
    for (const client of this.#clients.values()) client.close();
  }
}

/** Ends the programs that are left: they outlive their agents, however a test has ended. */
async function killTasks(folder: string): Promise<void> {
  for (const { name } of Deno.readDirSync(folder)) {
    const state = `${folder}/${name}/agent/process`;
    const tasks = await Deno.stat(`${state}/tasks`).then(
      () => [...Deno.readDirSync(`${state}/tasks`)],
      () => [],
    );
    if (tasks.length === 0) continue;
    const command = new Deno.Command(SHIM, { args: ["serve", state], stdin: "piped", stdout: "piped" });
    const shim = command.spawn(), output = new Response(shim.stdout).text();
    const requests = tasks.map(({ name: id }, nth) => `signal ${nth} ${id} KILL\n`).join("");
    await new Response(requests).body!.pipeTo(shim.stdin);
    strictEqual((await output).split(" done\n").length - 1, tasks.length, "every program was asked to end");
    await shim.status;
  }
}

/** Runs `test` with a fleet in a folder of its own; shows the logs if it fails. */
export async function withManagers(
  options: { agents?: boolean },
  test: (fleet: ManagerFleet) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-quorum-" });
  const fleet = new ManagerFleet(folder, options);
  let failure: unknown;
  try {
    await test(fleet);
  } catch (thrown) {
    failure = thrown;
  }
  await fleet.stop();
  await killTasks(folder);
  for (const { name } of failure === undefined ? [] : Deno.readDirSync(folder)) {
    if (!name.endsWith(".txt")) continue;
    const lines = Deno.readTextFileSync(`${folder}/${name}`).trimEnd().split("\n");
    console.error(`--- ${name}\n${lines.slice(-30).join("\n")}`);
  }
  await Deno.remove(folder, { recursive: true });
  if (failure !== undefined) throw failure;
}
