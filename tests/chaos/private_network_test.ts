import { strictEqual } from "node:assert/strict";
import { canMakeNetworks, PrivateNetwork } from "./private_network.ts";

Deno.test({
  name: "PrivateNetwork: hosts reach each other as far as they are not cut off",
  ignore: !canMakeNetworks(), // reason: network namespaces take root, ip and iptables
  fn() {
    const network = new PrivateNetwork(3);
    try {
      const expect = (from: number, to: number, reached: boolean) =>
        strictEqual(reaches(network, from, to), reached, `${from} to ${to}`);
      expect(0, 1, true);
      network.cut(1);
      expect(0, 1, false);
      expect(0, 2, true);
      network.heal(1);
      expect(0, 1, true);
      for (const direction of ["in", "out"] as const) {
        network.cutOneWay(2, direction);
        expect(0, 2, false);
        network.heal(2);
        expect(0, 2, true);
      }
      network.cutBetween(0, 1);
      expect(0, 1, false);
      expect(1, 2, true);
      network.heal(0);
      network.heal(1);
      expect(1, 0, true);
    } finally {
      network.remove();
    }
    const { stdout } = new Deno.Command("ip", { args: ["netns", "list"] }).outputSync();
    strictEqual(new TextDecoder().decode(stdout).includes(`covey-${Deno.pid}-`), false);
  },
});

Deno.test({
  name: "PrivateNetwork: what still runs on its hosts ends with it",
  ignore: !canMakeNetworks(), // reason: network namespaces take root, ip and iptables
  async fn() {
    const network = new PrivateNetwork(2);
    const [program, ...enter] = network.enter(1), streams = { stdout: "null", stderr: "null" } as const;
    const left = new Deno.Command(program!, { args: [...enter, "sleep", "1000"], ...streams }).spawn();
    // Until it is there, and no more the test's own program.
    const link = () => Deno.readLinkSync(`/proc/${left.pid}/ns/net`);
    while (link() === Deno.readLinkSync("/proc/self/ns/net")) await new Promise((go) => setTimeout(go, 1));
    network.remove();
    strictEqual((await left.status).signal, "SIGKILL");
  },
});

/** Whether a packet gets there and its answer back. A port where nobody listens answers as well: with a refusal. */
function reaches(network: PrivateNetwork, from: number, to: number): boolean {
  const script = `try { await Deno.connect({ hostname: "${network.address(to)}", port: 9 }) }
    catch (e) { Deno.exit(e instanceof Deno.errors.ConnectionRefused ? 7 : 1) }`;
  const [program, ...enter] = network.enter(from);
  const probe = ["timeout", "0.7", Deno.execPath(), "eval", script];
  return new Deno.Command(program!, { args: [...enter, ...probe], stderr: "null" }).outputSync().code === 7;
}
