/** A manager whose machine gets another address, as from DHCP, is found again by the other managers and by every agent. */
import assert from "node:assert/strict";
import { canMakeNetworks, PrivateNetwork } from "../chaos/private_network.ts";
import { eventually, inFolder, Program, ROOT, run, shows } from "../support/programs.ts";

const MOVED = "10.77.0.200:2377";

/** Two managers and a device, each on a host of its own. */
class Hosts {
  readonly #programs: Program[] = [];

  constructor(readonly network: PrivateNetwork, readonly folder: string) {}

  at(host: number): string {
    return `${this.network.address(host)}:2377`;
  }

  socket(host: number): string {
    return `${this.folder}/${host}/covey.sock`;
  }

  start(host: number, what: "manager" | "agent", ...flags: string[]): Program {
    const [program, ...enter] = this.network.enter(host);
    const launcher = `${ROOT}${what}/launch.sh`;
    const common = ["--docker", "none", "--hostname", `host${host}`, "--state-dir", `${this.folder}/${host}`];
    if (what === "manager") {
      common.push("--no-agent", "--listen", "0.0.0.0:2377", "--advertise", this.at(host));
    }
    const started = new Program(program!, [...enter, launcher, ...common, ...flags]);
    this.#programs.push(started);
    return started;
  }

  async token(role: string): Promise<string> {
    return (await run("covey", this.socket(0), "swarm", "join-token", "-q", role)).stdout.trim();
  }

  async end(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.end("SIGKILL")));
  }
}

Deno.test({
  name:
    "Manager: goes on at its machine's new address while it leads; managers and agents learn it, also at a later start",
  ignore: !canMakeNetworks(), // reason: network namespaces take root, ip and iptables
  fn: () =>
    inFolder(async (folder) => {
      const network = new PrivateNetwork(3), hosts = new Hosts(network, folder);
      try {
        const first = hosts.start(0, "manager");
        await first.says(/serves at 10\.77\.0\.1:2377/);
        const join = async (host: number, role: "manager" | "agent", who: string) =>
          hosts.start(host, role, "--join", hosts.at(0), "--token", await hosts.token(who));
        const second = await join(1, "manager", "manager");
        await second.says(/serves at/);
        const agent = await join(2, "agent", "worker");
        await agent.says(/is connected/);
        await eventually(
          "the manager remembers its address",
          async () =>
            JSON.parse(await Deno.readTextFile(`${folder}/0/node.json`)).ownHosts?.join() === "10.77.0.1",
          () => Deno.readTextFileSync(`${folder}/0/node.json`),
        );

        network.move(0, 0);
        await first.says(/manager \S+ was at 10\.77\.0\.1:2377, and goes on at 10\.77\.0\.200:2377/);
        await first.says(/serves at 10\.77\.0\.200:2377/);
        await shows(/"Addr": "10\.77\.0\.200:2377"/, "covey", hosts.socket(1), "node", "inspect", "host0");
        await shows(/"Reachability": "reachable"/, "covey", hosts.socket(1), "node", "inspect", "host0");
        await shows(/host2 +Ready /, "covey", hosts.socket(0), "node", "ls");
        await eventually(
          "the agent knows the new address",
          async () => (await Deno.readTextFile(`${folder}/2/managers`)).split("\n").includes(MOVED),
          () => Deno.readTextFileSync(`${folder}/2/managers`),
        );

        assert.equal(await first.end(), 0);
        // Its flags still say what they said when it was installed.
        await hosts.start(0, "manager").says(/serves at 10\.77\.0\.200:2377/);
      } finally {
        await hosts.end();
        network.remove();
      }
    }),
});
