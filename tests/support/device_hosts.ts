/**
 * A manager and devices on hosts of their own (network namespaces), as real programs. What runs on a device is counted by
 * the kernel's word, not by the agent's: process numbers and start times of every program in the host's namespace. Only
 * root can have them.
 */
import { ControlClient } from "../../cli/client.ts";
import type { NodeView, SwarmView } from "../../cli/api_types.ts";
import { canMakeNetworks, PrivateNetwork } from "../chaos/private_network.ts";
import { eventually, Program, ROOT } from "./programs.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";
/** Nothing but the tests' programs has such numbers among its arguments. */
const MARK = 86_410_000;
const PATIENCE_MS = 180_000;

/** Why there can be no such hosts here; empty where there can be. */
export function noDeviceHosts(): string {
  if (!canMakeNetworks()) return "no network namespaces can be made here";
  const tried = new Deno.Command("unshare", {
    args: ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
    stderr: "null",
  });
  if (!tried.outputSync().success) return "nothing can be mounted here";
  try {
    Deno.openSync("/dev/net/tun", { read: true, write: true }).close();
    return "";
  } catch {
    return "there are no tunnel devices here";
  }
}

/** A program of a task: which service's, as which process, and when the kernel started it. */
export interface Running {
  service: number;
  pid: number;
  started: string;
}

/** The manager is host 0, the devices 1 to `devices`; two more hosts are a router and a slow road. */
export class DeviceHosts {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "covey-devices-" });
  readonly network: PrivateNetwork;
  readonly client: ControlClient = new ControlClient(`unix://${this.folder}/api.sock`);
  readonly devices: number[];
  readonly router: number;
  readonly road: number;
  readonly #agents = new Map<number, Program>();
  readonly #boots = new Map<number, number>();
  #manager: Program | undefined;
  #road: Program | undefined;
  #token = "";

  constructor(devices: number) {
    this.devices = Array.from({ length: devices }, (_, at) => at + 1);
    this.router = devices + 1;
    this.road = devices + 2;
    this.network = new PrivateNetwork(devices + 3);
  }

  get address(): string {
    return `${this.network.address(0)}:2377`;
  }

  /** Starts the manager, the first time or again. */
  async startManager(): Promise<void> {
    const flags = ["--listen", this.address, "--advertise", this.address, "--api", `${this.folder}/api.sock`];
    this.#manager = this.#on(
      0,
      `${ROOT}manager/launch.sh`,
      "--state-dir",
      `${this.folder}/manager`,
      "--no-agent",
      ...flags,
    );
    await this.#manager.says(/serves at/);
    await this.until("the manager answers", async () => {
      const { JoinTokens } = await this.client.get<SwarmView>("/swarm");
      this.#token = JoinTokens.Worker;
      return true;
    });
  }

  async killManager(): Promise<void> {
    await this.#manager?.end("SIGKILL");
  }

  /** Starts a device's agent in the device's present boot. */
  startAgent(host: number): void {
    const boot = `${this.folder}/boot-${host}`, nth = this.#boots.get(host) ?? 1;
    Deno.writeTextFileSync(boot, `00000000-0000-4000-8000-${String(nth).padStart(12, "0")}\n`);
    const script = `mount --bind '${boot}' ${BOOT_ID} && exec sh '${ROOT}agent/launch.sh' "$@"`;
    const flags = ["--state-dir", `${this.folder}/device-${host}`, "--hostname", `device-${host}`];
    const join = this.#agents.has(host) ? [] : ["--join", this.address, "--token", this.#token];
    const command = ["unshare", "-m", "sh", "-c", script, "sh", ...flags, ...join];
    this.#agents.set(host, this.#on(host, ...command));
  }

  async killAgent(host: number): Promise<void> {
    await this.#agents.get(host)?.end("SIGKILL");
  }

  /** Ends every process of a device at once; its next agent starts in another boot. */
  async cutPower(host: number): Promise<void> {
    const ended = this.killAgent(host);
    for (
      const pid of [
        ...this.#processes(host).map(({ pid }) => pid),
        ...programsBelow(`${this.folder}/device-${host}/`),
      ]
    ) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await ended;
    this.#boots.set(host, (this.#boots.get(host) ?? 1) + 1);
  }

  /** Process of the device's agent. */
  agentPid(host: number): number {
    return this.#agents.get(host)!.pid;
  }

  /** What an agent has printed since its last start. */
  log(host: number): string {
    return this.#agents.get(host)?.output ?? "";
  }

  /** Has a device and the manager hear each other `delayMs` later, and not all. */
  async slowDown(host: number, delayMs: number, loss: number): Promise<void> {
    this.network.forward(this.road);
    const address = this.network.address(host);
    const script = ROOT + "tests/support/slow_road.ts";
    this.#road = this.#on(this.road, Deno.execPath(), "run", "-A", script, address, `${delayMs}`, `${loss}`);
    await this.#road.says(/open/);
    this.network.routeBetween(0, host, this.road);
  }

  /** How long a device takes to make a connection to the manager, which is one round trip. */
  connectMs(host: number): number {
    const script = `const began = performance.now();
      await Deno.connect({ hostname: "${this.network.address(0)}", port: 2377 });
      console.log(Math.round(performance.now() - began));`;
    const [program, ...enter] = this.network.enter(host);
    const args = [...enter, "timeout", "60", Deno.execPath(), "eval", script];
    const { stdout } = new Deno.Command(program!, { args, stderr: "null" }).outputSync();
    return Number(new TextDecoder().decode(stdout));
  }

  async speedUp(host: number): Promise<void> {
    this.network.routeBetween(0, host, undefined);
    await this.#road?.end("SIGKILL");
  }

  /** Makes a service of plain processes; `nth` tells its programs. */
  async createService(
    nth: number,
    mode: { Global: Record<string, never> } | { Replicated: { Replicas: number } },
  ) {
    await this.client.post("/services/create", {
      Name: `service-${nth}`,
      TaskTemplate: {
        Runtime: "process",
        ProcessSpec: { Command: "/bin/sleep", Args: [`${MARK + nth}`], StopGracePeriod: 1e9 },
        RestartPolicy: { Condition: "any", Delay: 1e8 },
      },
      Mode: mode,
    });
  }

  /** The programs of tasks on a device, those that nobody else knows of included. */
  running(host: number): Running[] {
    return this.#processes(host).flatMap(({ pid, words }) => {
      const service = Number(words[1]) - MARK;
      if (words[0] !== "/bin/sleep" || !(service >= 0 && service < 1000)) return [];
      const stat = readText(`/proc/${pid}/stat`), fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" || stat === "" ? [] : [{ service, pid, started: fields[19]! }];
    });
  }

  /** The same of all devices, as text that can be compared, by device. */
  census(): Map<number, string[]> {
    return new Map(this.devices.map((host) => [
      host,
      this.running(host).map(({ service, pid, started }) => `${service}: ${pid} since ${started}`).toSorted(),
    ]));
  }

  /** States of the devices' nodes, by hostname. */
  async states(): Promise<Map<string, string>> {
    const nodes = await this.client.get<NodeView[]>("/nodes");
    return new Map(nodes.map((node) => [node.Description?.Hostname ?? "", node.Status.State]));
  }

  /** Waits until the devices named, else all, are ready. */
  async untilReady(hosts: readonly number[] = this.devices): Promise<void> {
    await this.until(`devices ${hosts.join()} are ready`, async () => {
      const states = await this.states();
      return hosts.every((host) => states.get(`device-${host}`) === "ready");
    });
  }

  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const seen = () =>
      [...this.#agents].map(([host, { output }]) => `${host}: ${output.slice(-600)}`).join("\n");
    const look = async () => {
      try {
        return await isSo();
      } catch {
        return false;
      }
    };
    await eventually(what, look, () => `${this.#manager?.output.slice(-600)}\n${seen()}`, PATIENCE_MS);
  }

  /** Ends and removes everything. */
  async remove(): Promise<void> {
    for (const host of this.devices) {
      await this.cutPower(host);
      this.#removeSpaces(host);
    }
    await this.killManager();
    await this.#road?.end("SIGKILL");
    this.client.close();
    this.network.remove();
    await Deno.remove(this.folder, { recursive: true });
  }

  /** What is left of networks of a test that failed; else there is nothing. */
  #removeSpaces(host: number): void {
    const listed = (folder: string) => {
      try {
        return [...Deno.readDirSync(folder)].map(({ name }) => name);
      } catch {
        return [];
      }
    };
    const tasks = listed(`${this.folder}/device-${host}/process/tasks`), nodes = new Set<string>();
    for (const folder of ["/run/netns", "/run/covey-names"]) {
      for (const name of listed(folder)) {
        const [, node = "", task = ""] = name.split("-");
        if (!tasks.includes(task)) continue;
        nodes.add(node);
        Deno.removeSync(`${folder}/${name}`);
      }
    }
    for (const node of nodes) {
      if (listed("/run/netns").includes(`covey-${node}`)) Deno.removeSync(`/run/netns/covey-${node}`);
    }
  }

  #on(host: number, ...command: string[]): Program {
    const [program, ...enter] = this.network.enter(host);
    return new Program(program!, [
      ...enter,
      ...command,
      ...(command[0]!.startsWith(Deno.execPath()) ? [] : ["--docker", "none"]),
    ]);
  }

  #processes(host: number): { pid: number; words: string[] }[] {
    const [, flag] = this.network.enter(host);
    const namespace = Deno.statSync(flag!.replace("--net=", "")).ino;
    return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
      if (!/^\d+$/.test(name)) return [];
      try {
        if (Deno.statSync(`/proc/${name}/ns/net`).ino !== namespace) return [];
      } catch {
        return [];
      }
      return [{ pid: Number(name), words: readText(`/proc/${name}/cmdline`).split("\0") }];
    });
  }
}

/** Processes that work below a folder, in whichever network they are. */
export function programsBelow(folder: string): number[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      return /^\d+$/.test(name) && Deno.readLinkSync(`/proc/${name}/cwd`).startsWith(folder)
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
