/** What somebody without a certificate, or at the control socket, can do to managers that run: nothing that others notice. */
import assert from "node:assert/strict";
import { joinToken } from "../support/one_manager.ts";
import { freePort, inFolder, Program, ROOT, start } from "../support/programs.ts";
import { attack, besiege, withTarget } from "./siege.ts";

const OVER_THE_NETWORK = [
  "pings",
  "unknown_calls",
  "junk_values",
  "junk_streams",
  "aborted",
  "handshakes",
  "silent",
];
const AT_THE_SOCKET = ["chunks", "slow_heads", "slow_bodies"];

/** An agent joins through `address` and is connected. */
async function join(folder: string, address: string, token: string): Promise<void> {
  const agent = start("agent", "--state-dir", `${folder}/a`, "--join", address, "--token", token);
  await agent.says(/is connected/);
  assert.equal(await agent.end(), 0);
}

Deno.test("Without certificate: floods, junk and unfinished handshakes at a leader's port change nothing", async () => {
  await withTarget(async (fleet, target) => {
    for (const name of OVER_THE_NETWORK) {
      await besiege(name, target);
      assert.equal(await fleet.leader("m3"), "m1", `after ${name}`);
    }
  });
});

Deno.test("Without certificate: idle connections keep nobody from joining", async () => {
  await withTarget(async (fleet, target) => {
    const token = await joinToken(`${fleet.folder}/m1.sock`);
    // Longer than a join takes, and ended as soon as that is done.
    const attacker = attack("idle", target.address, 60);
    await attacker.says(/ready/);
    await join(fleet.folder, target.address, token);
    assert.notEqual(await attacker.end(), 0, "the connections were still there");
  });
});

Deno.test("Control socket: chunks of a byte and slow clients lock nobody out", async () => {
  await withTarget(async (fleet, target) => {
    for (const name of AT_THE_SOCKET) await besiege(name, { ...target, address: `${fleet.folder}/m1.sock` });
  });
});

Deno.test("Descriptors: that they run out ends no manager, and all is as before when they are back", async () => {
  await inFolder(async (folder) => {
    const port = freePort(), state = `${folder}/m`;
    const few = 'ulimit -n 256 && exec "$0" "$@"';
    const flags = ["--state-dir", state, "--listen", `127.0.0.1:${port}`, "--docker", "none", "--no-agent"];
    const manager = new Program("sh", ["-c", few, `${ROOT}manager/launch.sh`, ...flags]);
    try {
      await manager.says(/serves at/);
      const attackers = [
        attack("silent", `127.0.0.1:${port}`),
        attack("idle", `127.0.0.1:${port}`),
        attack("slow_heads", `${state}/covey.sock`),
      ];
      for (const attacker of attackers) assert.equal(await attacker.ends(), 0, attacker.output);
      await join(folder, `127.0.0.1:${port}`, await joinToken(`${state}/covey.sock`));
      assert.equal(await manager.end(), 0);
      assert.doesNotMatch(manager.output, /\[fatal\]|\[error\]|Uncaught|panicked/);
    } finally {
      await manager.end("SIGKILL");
    }
  });
});
