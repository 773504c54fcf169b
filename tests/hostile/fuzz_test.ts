/**
 * Frames that nobody sends, at a live manager, by somebody without a certificate and by a worker. `COVEY_TEST_FUZZ_SECONDS`
 * says for how long, `COVEY_TEST_FUZZ_SEED` where to begin.
 */
import assert from "node:assert/strict";
import tls from "node:tls";
import { parseAddress, type TLSMaterial } from "../../transport/mod.ts";
import { TLS_OPTIONS } from "../../transport/tls_pipe.ts";
import { SeededRandom } from "../sim/raft/random.ts";
import { dialWith, materialOf } from "../support/node_material.ts";
import { withManager } from "../support/one_manager.ts";
import { run, start } from "../support/programs.ts";
import { MAX_RESIDENT_MB, peakMB } from "./siege.ts";
import { StrangeFrames } from "./strange_frames.ts";

const SECONDS = Number(Deno.env.get("COVEY_TEST_FUZZ_SECONDS") ?? 20);
const SEED = Number(Deno.env.get("COVEY_TEST_FUZZ_SEED") ?? 1);
/** Frames on one connection, unless it is cut before. */
const MAX_FRAMES = 200;
/** Sends strange frames on one connection until the manager cuts it; resolves with their number. */
function attack(address: string, material: TLSMaterial | undefined, random: SeededRandom): Promise<number> {
  const identity = material ? { cert: material.certificatePEM, key: material.privateKeyPEM } : {};
  const frames = new StrangeFrames(random);
  return new Promise((resolve) => {
    const socket = tls.connect({ ...parseAddress(address), ...TLS_OPTIONS, ...identity });
    let sent = 0;
    socket.on("data", () => {});
    socket.on("error", () => {});
    socket.on("close", () => resolve(sent));
    const send = () => {
      while (!socket.destroyed) {
        if (sent++ >= MAX_FRAMES) return void socket.end();
        // In few pieces and many: frames may end anywhere.
        if (!socket.write(frames.next()) || random.chance(0.2)) return void setTimeout(send, 0);
      }
    };
    socket.on("secureConnect", send);
  });
}

Deno.test(`Fuzz: ${SECONDS} s of strange frames and CBOR, and the manager serves on`, () =>
  withManager(async ({ folder, address, socket, token, manager }) => {
    const agent = start("agent", "--state-dir", `${folder}/a`, "--join", address, "--token", token);
    await agent.says(/is connected/);
    const worker = await materialOf(`${folder}/a`);
    const end = performance.now() + SECONDS * 1000;
    let seed = SEED, connections = 0, frames = 0;
    const attacker = async () => {
      while (performance.now() < end) {
        frames += await attack(address, connections++ % 2 ? worker : undefined, new SeededRandom(seed++));
      }
    };
    const questions = async () => {
      while (performance.now() < end) {
        const { code, stdout, stderr } = await run("covey", socket, "node", "ls");
        assert.equal(code, 0, `seeds ${SEED} to ${seed}: ${stdout}${stderr}\n${manager.output}`);
      }
    };
    await Promise.all([attacker(), attacker(), attacker(), questions()]);
    console.log(
      `seeds ${SEED} to ${seed - 1}: ${frames} frames, the manager had ${
        Math.round(peakMB(manager.pid))
      } MB at most`,
    );
    assert.ok(
      peakMB(manager.pid) < MAX_RESIDENT_MB,
      `${peakMB(manager.pid)} MB, seeds ${SEED} to ${seed - 1}`,
    );
    // Whoever comes in order is served: by name, and by a session.
    const connection = await dialWith(address, worker);
    assert.ok(await connection.call("ca.getRootCACertificate", {}));
    connection.close();
    await agent.says(/is connected/);
    assert.equal(await agent.end(), 0);
  }));
