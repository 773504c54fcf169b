/** The stock client prints the same against our manager as against a real Docker Swarm. */
import { Side, startPeer, stopPeer, words } from "../support/parity.ts";
import { TEST_ENGINE, withFleet } from "../support/e2e.ts";
import { PARITY_SCRIPT } from "./parity_script.ts";

Deno.test("parity", () =>
  withFleet({ docker: TEST_ENGINE }, async (fleet) => {
    const dir = await Deno.makeTempDir({ prefix: "covey-peer-" });
    const [socket] = await Promise.all([startPeer(dir), fleet.startManager(Deno.hostname())]);
    await new Side(TEST_ENGINE).run(["tag", "busybox:local", "busybox:next"]);
    const docker = new Side(socket), covey = new Side(fleet.socket, fleet.address.split(":")[1]);
    let n = 0, bad = 0, mark = "";
    const seconds = (plus = 0) => (Date.now() / 1000 + plus).toFixed(3);
    try {
      for (const line of PARITY_SCRIPT.trim().split("\n").filter(Boolean)) {
        const args = words(line.replace("$NODE", Deno.hostname()).replace("$MARK", mark).replace("$NOW", seconds()).replace("$SOON", seconds(0.5)));
        const t = performance.now();
        if (args[0] === "mark") mark = seconds();
        else if (args[0] === "settle") {
          await Promise.all([docker, covey].map(async (s) => {
            await s.settle(args[1]!, Number(args[2]));
          }));
        } else {
          n++;
          const [a, b] = await Promise.all([docker.run(args), covey.run(args)]);
          if (line === "info") for (const x of [a, b]) x.out = x.out.match(/^ Swarm: [^]*?(?=^ \S)/m)?.[0] ?? "";
          if (Deno.env.get("V")) console.log(line, a.code, a.out, a.err);
          if (JSON.stringify(a) !== JSON.stringify(b)) {
            bad++;
            console.log(`=== ${line}\n--- docker ${a.code}\n${a.out}\n>>${a.err}\n--- covey ${b.code}\n${b.out}\n>>${b.err}`);
          }
        }
        const ms = performance.now() - t;
        if (ms > 1000) console.log(`(${Math.round(ms)} ms: ${line})`);
      }
      console.log(`${n} commands, ${bad} differ`);
    } finally {
      docker.close();
      covey.close();
      await stopPeer(dir);
      await Deno.remove(dir, { recursive: true });
    }
  }));
