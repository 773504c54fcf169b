/**
 * A network of this program's own: one namespace for each host, joined by a bridge in a namespace of its own, so that nothing
 * of the machine's network changes and removing the namespaces removes everything.
 */
import { limited } from "../support/limited.ts";

const INTERFACE = "eth0";
const run = (program: string, ...args: string[]) => {
  const [command, words] = limited(program, args);
  const { success, stdout, stderr } = new Deno.Command(command, { args: words }).outputSync();
  if (!success) {
    throw new Error(`Cannot run ${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout);
};

/** True if this process may make namespaces, and has what it takes to cut their links. */
export function canMakeNetworks(): boolean {
  const name = `covey-try-${Deno.pid}`;
  try {
    run("ip", "netns", "add", name);
  } catch {
    return false;
  }
  try {
    run("nsenter", `--net=/run/netns/${name}`, "iptables", "-w", "-F");
    return true;
  } catch {
    return false;
  } finally {
    run("ip", "netns", "del", name);
  }
}

/** Hosts 0 to `hosts - 1`, whose links can be cut. Calls are synchronous, so that the clean-up works from a signal too. */
export class PrivateNetwork {
  readonly #prefix = `covey-${crypto.randomUUID().slice(0, 8)}`;
  readonly #hub = `${this.#prefix}-hub`;
  readonly #namespaces: string[] = [];
  /** How many are behind each. */
  readonly #behind = new Map<number, number>();

  constructor(hosts: number) {
    try {
      this.#addNamespace(this.#hub);
      run("ip", "-n", this.#hub, "link", "add", "bridge", "type", "bridge");
      run("ip", "-n", this.#hub, "link", "set", "bridge", "up");
      for (let host = 0; host < hosts; host++) this.#addHost(host);
    } catch (thrown) {
      this.remove();
      throw thrown;
    }
  }

  /** The IPv4 address of a host, unless it was moved. The same in every such network. */
  address(host: number): string {
    return `10.77.0.${host + 1}`;
  }

  /** Gives a host another address, `10.77.0.200` and up; its open connections hear nothing of it. */
  move(host: number, nth: number): void {
    const at = ["-n", this.#namespace(host), "addr"];
    run("ip", ...at, "flush", "dev", INTERFACE, "scope", "global");
    run("ip", ...at, "add", `10.77.0.${200 + nth}/24`, "dev", INTERFACE);
  }

  /**
   * Puts a host behind another one, which hides it: it reaches all others with that one's address, and nobody reaches it but who is
   * behind the same one.
   */
  putBehind(host: number, router: number): void {
    const [inner, outer] = [this.#namespace(host), this.#namespace(router)];
    const nth = (this.#behind.get(router) ?? 0) + 1, port = `inside${nth}`;
    this.#behind.set(router, nth);
    if (nth === 1) {
      run("ip", "-n", outer, "link", "add", "inside", "type", "bridge");
      run("ip", "-n", outer, "addr", "add", "192.168.77.1/24", "dev", "inside");
      run("ip", "-n", outer, "link", "set", "inside", "up");
      this.forward(router);
      this.#iptables(router, "-t", "nat", "-A", "POSTROUTING", "-o", INTERFACE, "-j", "MASQUERADE");
    }
    run("ip", "-n", inner, "link", "del", INTERFACE);
    run("ip", "link", "add", port, "netns", outer, "type", "veth", "peer", INTERFACE, "netns", inner);
    run("ip", "-n", outer, "link", "set", port, "master", "inside", "up");
    run("ip", "-n", inner, "addr", "add", `192.168.77.${nth + 1}/24`, "dev", INTERFACE);
    run("ip", "-n", inner, "link", "set", INTERFACE, "up");
    run("ip", "-n", inner, "route", "add", "default", "via", "192.168.77.1");
  }

  /** Has a host pass on what is not for itself, and tell nobody of a shorter way. */
  forward(host: number): void {
    const [program, ...enter] = this.enter(host);
    const settings = ["ip_forward=1", "conf.all.send_redirects=0", `conf.${INTERFACE}.send_redirects=0`];
    for (const name of ["all", "default", INTERFACE]) settings.push(`conf.${name}.rp_filter=0`);
    for (const setting of settings) run(program!, ...enter, "sysctl", "-qw", `net.ipv4.${setting}`);
  }

  /** Has what two hosts send each other go through a third one, or again the direct way. */
  routeBetween(host: number, other: number, through: number | undefined): void {
    for (const [from, to] of [[host, other], [other, host]] as const) {
      const route = [`${this.address(to)}/32`, "dev", INTERFACE];
      if (through !== undefined) route.push("via", this.address(through));
      const verb = through === undefined ? "del" : "replace";
      run("ip", "-n", this.#namespace(from), "route", verb, ...route);
    }
  }

  /** What to put before a command so that it runs on a host. It turns into that command, keeping its process ID. */
  enter(host: number): string[] {
    return ["nsenter", `--net=/run/netns/${this.#namespace(host)}`];
  }

  /** Cuts a host off in both directions; its open connections hear nothing of it. */
  cut(host: number): void {
    run("ip", "-n", this.#hub, "link", "set", `host${host}`, "down");
  }

  /** Drops all that comes in at a host, or all that goes out. */
  cutOneWay(host: number, direction: "in" | "out"): void {
    const where = direction === "in" ? ["INPUT", "-i"] : ["OUTPUT", "-o"];
    this.#iptables(host, "-A", ...where, INTERFACE, "-j", "DROP");
  }

  /** Cuts the link between two hosts; both still reach all others. */
  cutBetween(host: number, other: number): void {
    this.#iptables(host, "-A", "INPUT", "-s", this.address(other), "-j", "DROP");
    this.#iptables(other, "-A", "INPUT", "-s", this.address(host), "-j", "DROP");
  }

  /** Undoes every cut at a host. */
  heal(host: number): void {
    this.#iptables(host, "-F");
    run("ip", "-n", this.#hub, "link", "set", `host${host}`, "up");
  }

  /** Removes everything. What a test that failed has left running there would go on for ever: it is ended. */
  remove(): void {
    for (const namespace of this.#namespaces.splice(0)) {
      try {
        const pids = run("ip", "netns", "pids", namespace).split("\n").filter(Boolean);
        // One that has ended meanwhile is no failure.
        if (pids.length > 0) run("sh", "-c", `kill -KILL ${pids.join(" ")} 2>/dev/null || :`);
        run("ip", "netns", "del", namespace);
      } catch (thrown) {
        console.error((thrown as Error).message);
      }
    }
  }

  #namespace(host: number): string {
    return `${this.#prefix}-${host}`;
  }

  #addNamespace(name: string): void {
    run("ip", "netns", "add", name);
    this.#namespaces.push(name);
  }

  #addHost(host: number): void {
    const namespace = this.#namespace(host), port = `host${host}`;
    this.#addNamespace(namespace);
    run("ip", "link", "add", port, "netns", this.#hub, "type", "veth", "peer", INTERFACE, "netns", namespace);
    run("ip", "-n", this.#hub, "link", "set", port, "master", "bridge", "up");
    run("ip", "-n", namespace, "addr", "add", `${this.address(host)}/24`, "dev", INTERFACE);
    run("ip", "-n", namespace, "link", "set", INTERFACE, "up");
    run("ip", "-n", namespace, "link", "set", "lo", "up");
  }

  #iptables(host: number, ...args: string[]): void {
    const [program, ...rest] = this.enter(host);
    run(program!, ...rest, "iptables", "-w", ...args);
  }
}
