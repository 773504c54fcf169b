/**
 * Hosts in network namespaces of their own, each with a real engine and an agent, which on the first ones is beside a
 * manager. Only root can have them, with Docker's and iproute2's programs.
 */
import { fileURLToPath } from "node:url";
import { canMakeNetworks, PrivateNetwork } from "../chaos/private_network.ts";
import { programsBelow } from "./device_hosts.ts";
import { limited, signalled } from "./limited.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAMS = ["dockerd", "docker", "nft", "curl", "nsenter"];
const PATIENCE_MS = 90_000;

/** Why there can be no such hosts here; empty where there can be. A kernel without VXLAN has no way around it. */
export function noNetworkHosts(): string {
  const skip = Deno.env.get("COVEY_SKIP_ENGINE");
  if (skip) return skip;
  const missing = PROGRAMS.filter((name) => run("sh", ["-c", `command -v ${name}`]).code !== 0);
  if (missing.length > 0) return `without ${missing.join(", ")}`;
  if (!canMakeNetworks()) return "no network namespaces can be made here";
  const helper = `${ROOT}network/helper/network.sh`;
  const { text } = run("unshare", ["--net", "sh", "-c", `echo probe 1 | ${helper} serve test`]);
  return text.startsWith("1 ok") ? "" : text.trim();
}

/** What a program printed, and how it ended. */
interface Ran {
  code: number;
  text: string;
}

function run(program: string, args: string[]): Ran {
  try {
    const [command, words] = limited(program, args);
    const { code, stdout, stderr } = new Deno.Command(command, {
      args: words,
      stdout: "piped",
      stderr: "piped",
    }).outputSync();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    const late = code === 124 ? `${program} ${args.join(" ")} did not end\n` : "";
    return { code, text: code === 0 ? out! : late + out! + err! };
  } catch (thrown) {
    return { code: 127, text: String(thrown) };
  }
}

/** Hosts 0 to `count - 1`. */
export class NetworkHosts {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "covey-hosts-" });
  readonly network: PrivateNetwork;
  /** Whose manager is asked. */
  asked = 0;
  readonly #count: number;
  readonly #managers: number;
  readonly #programs = new Map<number, Deno.ChildProcess>();

  constructor(count: number, managers = 1) {
    this.#count = count;
    this.#managers = managers;
    this.network = new PrivateNetwork(count);
  }

  /** Starts the engines. */
  async startEngines(): Promise<void> {
    await Promise.all(Array.from({ length: this.#count }, async (_, host) => {
      const command = [`${ROOT}tests/support/engine.sh`, "up", this.#engine(host)];
      const [program = "", ...args] = [...this.network.enter(host), ...command];
      const { success, stderr } = await new Deno.Command(program, { args, stdout: "null", stderr: "piped" })
        .output();
      if (!success) throw new Error(`Cannot start an engine: ${new TextDecoder().decode(stderr)}`);
    }));
  }

  /** Starts all managers and agents, and waits until every node says that it can have networks. */
  async startNodes(): Promise<void> {
    const first = `${this.network.address(0)}:2377`;
    this.startManager(0);
    await this.until("the manager answers", () => this.#swarm("node", "ls").code === 0);
    for (const role of ["worker", "manager"]) {
      const token = this.swarm("swarm", "join-token", "-q", role).trim();
      await Deno.writeTextFile(`${this.folder}/${role}-token`, token);
    }
    for (let host = 1; host < this.#count; host++) {
      const isManager = host < this.#managers;
      const flags = [
        "--join",
        first,
        "--token-file",
        `${this.folder}/${isManager ? "manager" : "worker"}-token`,
      ];
      if (isManager) this.startManager(host, ...flags);
      else this.#start(host, "agent", ...flags);
    }
    await this.until("all nodes can have networks", () => {
      // The stock client leaves out what Docker does not have.
      const { text } = run("curl", ["-s", "--unix-socket", this.api(0), "http://docker/v1.41/nodes"]);
      const nodes: { Description?: { OverlayRuntimes?: string[] } }[] = JSON.parse(text);
      return nodes.length === this.#count &&
        nodes.every(({ Description }) =>
          ["container", "process"].every((runtime) => Description?.OverlayRuntimes?.includes(runtime))
        );
    });
  }

  /** Where a host's manager is asked. */
  api(host: number): string {
    return `${this.folder}/api${host}.sock`;
  }

  /** The host of the manager that leads. */
  leader(): number {
    const listed = this.swarm("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}");
    return Number(/^host(\d+) Leader$/m.exec(listed)?.[1]);
  }

  /** Kills a host's agent, or its manager with the agent beside it; its containers stay. */
  async kill(host: number): Promise<void> {
    const program = this.#programs.get(host)!;
    this.#programs.delete(host);
    program.kill("SIGKILL");
    await program.status;
  }

  /** Starts a host's manager, the first time with what it takes to join. */
  startManager(host: number, ...flags: string[]): void {
    const address = `${this.network.address(host)}:2377`;
    this.#start(
      host,
      "manager",
      "--advertise",
      address,
      "--listen",
      address,
      "--api",
      this.api(host),
      ...flags,
    );
  }

  /** Starts it again, with no word of where the managers are. */
  startAgent(host: number): void {
    this.#start(host, "agent");
  }

  /** Runs a program on a host; throws if it fails. */
  on(host: number, ...command: string[]): string {
    const [program = "", ...args] = [...this.network.enter(host), ...command];
    const { code, text } = run(program, args);
    if (code !== 0) throw new Error(`Cannot run ${command.join(" ")}: ${text}`);
    return text;
  }

  /** Asks the manager, as the stock client does. */
  swarm(...args: string[]): string {
    const { code, text } = this.#swarm(...args);
    if (code !== 0) throw new Error(`Cannot docker ${args.join(" ")}: ${text}`);
    return text;
  }

  /** Has the manager do what no client of Docker's can ask for; its answer. */
  post(path: string, body: unknown): unknown {
    const args = ["-s", "--fail-with-body", "--unix-socket", this.api(this.asked)];
    args.push("-H", "Content-Type: application/json", "-d", JSON.stringify(body));
    const { code, text } = run("curl", [...args, `http://docker/v1.51${path}`]);
    if (code !== 0) throw new Error(`Cannot post to ${path}: ${text}`);
    return JSON.parse(text || "null");
  }

  /** The ID of a running task of a service on a host, if there is one. */
  task(host: number, service: string): string | undefined {
    const lines = this.swarm(
      "service",
      "ps",
      service,
      "--no-trunc",
      "--format",
      "{{.ID}} {{.Node}} {{.CurrentState}}",
    );
    return new RegExp(`^(\\S+) host${host} Running`, "m").exec(lines)?.[1];
  }

  /** What a script prints in the network of a program on a host, with that program's names. */
  insideProgram(host: number, service: string, script: string): string {
    const node = this.swarm("node", "ls", "-q", "--filter", `name=host${host}`).trim();
    const name = `covey-${node}-${this.task(host, service)}`;
    const names = `mount --bind /run/covey-names/${name} /etc/resolv.conf`;
    return this.on(
      host,
      "nsenter",
      `--net=/run/netns/${name}`,
      "unshare",
      "-m",
      "sh",
      "-c",
      `${names}; ${script}`,
    );
  }

  /** Asks a host's own engine. */
  docker(host: number, ...args: string[]): string {
    const { code, text } = run("docker", ["-H", `unix://${this.#engine(host)}/docker.sock`, ...args]);
    if (code !== 0) throw new Error(`Cannot docker ${args.join(" ")}: ${text}`);
    return text;
  }

  /** The ID of a running container of a service on a host. */
  container(host: number, service: string): string {
    const label = `label=com.docker.swarm.service.name=${service}`;
    return this.docker(host, "ps", "-q", "--filter", label).trim().split("\n")[0]!;
  }

  /** What a script prints in a container. */
  inside(host: number, service: string, script: string): string {
    return this.docker(host, "exec", this.container(host, service), "sh", "-c", script);
  }

  /** Waits until something is so. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!attempt(isSo)) {
      if (Date.now() > end) {
        throw new Error(`Waited in vain until ${what}\n${this.#whatIsThere()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Ends the programs on the hosts, the last one first; what they made stays. */
  async stopNodes(): Promise<void> {
    for (const [host, program] of [...this.#programs].sort(([a], [b]) => b - a)) {
      this.#programs.delete(host);
      signalled(program, "SIGTERM");
      const late = setTimeout(() => signalled(program, "SIGKILL"), PATIENCE_MS);
      await program.status;
      clearTimeout(late);
    }
  }

  /** Has a host's node leave its cluster while no agent runs there. */
  leave(host: number): void {
    this.on(host, ...this.#launcher("agent", host), "--leave");
  }

  /** Ends everything and removes it. */
  async remove(): Promise<void> {
    await this.stopNodes();
    // Those of a test that failed; else there are none.
    for (const pid of programsBelow(`${this.folder}/state`)) run("kill", ["-KILL", `${pid}`]);
    for (let host = 0; host < this.#count; host++) {
      // Of a test that failed; else there is none.
      const { text } = run("ip", [
        "-n",
        this.network.enter(host)[1]!.replace(/.*\//, ""),
        "-o",
        "link",
        "show",
        "cvlink",
      ]);
      const left = /alias (covey-[a-z0-9]{25})/.exec(text)?.[1];
      if (left !== undefined) run("ip", ["netns", "del", left]);
      run(`${ROOT}tests/support/engine.sh`, ["down", this.#engine(host)]);
    }
    for (let host = 0; host < this.#count; host++) {
      await this.until(
        "the engine has ended",
        () => run("test", ["-e", `${this.#engine(host)}/pid`]).code !== 0,
      );
      run("sh", [
        "-c",
        `umount ${this.#engine(host)}/data/*/* ${this.#engine(host)}/exec/netns/* 2>/dev/null`,
      ]);
    }
    this.network.remove();
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
  }

  /** For who reads of a failure. */
  #whatIsThere(): string {
    const services = this.#swarm("service", "ls").text, nodes = this.#swarm("node", "ls").text;
    const told = run("sh", [
      "-c",
      `tail -n 20 ${this.folder}/*.log; cat ${this.folder}/state*/networks.json ${this.folder}/state*/agent/networks.json`,
    ]);
    return `${services}${nodes}${told.text}`;
  }

  #swarm(...args: string[]): Ran {
    return run("docker", ["-H", `unix://${this.api(this.asked)}`, ...args]);
  }

  #engine(host: number): string {
    return `${this.folder}/engine${host}`;
  }

  #launcher(what: "agent" | "manager", host: number): string[] {
    const socket = `${this.#engine(host)}/docker.sock`;
    return [`${ROOT}${what}/launch.sh`, "--state-dir", `${this.folder}/state${host}`, "--docker", socket];
  }

  #start(host: number, what: "agent" | "manager", ...flags: string[]): void {
    const log = `${this.folder}/${host}.log`;
    const [program = "", ...args] = [
      ...this.network.enter(host),
      "sh",
      "-c",
      'log=$1; shift; exec sh "$@" >"$log" 2>&1',
      "sh",
      log,
      ...this.#launcher(what, host),
      "--hostname",
      `host${host}`,
      ...flags,
    ];
    const env = { COVEY_DENO: Deno.execPath() };
    const streams = { stdout: "null", stderr: "null" } as const;
    this.#programs.set(host, new Deno.Command(program, { args, env, ...streams }).spawn());
  }
}

function attempt(isSo: () => boolean): boolean {
  try {
    return isSo();
  } catch {
    return false;
  }
}
