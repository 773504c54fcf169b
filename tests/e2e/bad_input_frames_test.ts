/** Hostile bytes and callers at the port of a manager that runs: each is cut off with its reason, and nobody else notices. */
import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import { CoveyError } from "../../api/errors.ts";
import { parseAddress, type TLSMaterial } from "../../transport/mod.ts";
import { dialWith, materialOf } from "../support/node_material.ts";
import { joinToken, startManager, withManager } from "../support/one_manager.ts";
import { freePort, start } from "../support/programs.ts";

/** Sends `bytes`, then waits for the manager to hang up; resolves with what it said. */
function send(address: string, bytes: Uint8Array, material?: TLSMaterial | "plain"): Promise<string> {
  const { host, port } = parseAddress(address);
  const identity = typeof material === "object"
    ? { cert: material.certificatePEM, key: material.privateKeyPEM }
    : {};
  return new Promise((resolve) => {
    const socket = material === "plain"
      ? net.connect({ host, port })
      : tls.connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ["covey/1"], ...identity });
    let answer = "";
    socket.on("data", (data: Uint8Array) => answer += new TextDecoder().decode(data));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    socket.on(material === "plain" ? "connect" : "secureConnect", () => {
      socket.write(bytes);
      // A whole frame is never sent: what stays away must not keep the connection.
      if (bytes.length < 4096) socket.end();
    });
  });
}

function frame(length: number, ...body: number[]): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, length);
  bytes.set(body, 4);
  return bytes;
}

function random(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

Deno.test("Frames: oversized, truncated and random ones end their own connection, and the manager serves on", () =>
  withManager(async ({ folder, address, token }) => {
    const agent = start("agent", "--state-dir", `${folder}/a`, "--join", address, "--token", token);
    await agent.says(/is connected/);
    const worker = await materialOf(`${folder}/a`);
    const hostile = [
      frame(0xffffffff),
      frame(100, 1, 2, 3),
      frame(2, 0xa1, 0x61),
      frame(0),
      ...Array.from({ length: 20 }, (_, i) => random(1 + i * 100)),
      random(60_000),
    ];
    await Promise.all(
      [undefined, worker, "plain" as const].flatMap((material) =>
        hostile.map((bytes) => send(address, bytes, material))
      ),
    );
    assert.match(await send(address, frame(0xffffffff), worker), /4294967295 bytes/, "the peer is told why");
    assert.match(
      await send(address, new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), "plain"),
      /^.{0,9}$/s,
    );
    assert.doesNotMatch(agent.output, /has no manager to talk to/, "the agent's session was not disturbed");
    assert.equal(await agent.end(), 0);
  }));

/** The code that a call by `material` ends with. */
async function codeOf(address: string, method: string, material?: TLSMaterial): Promise<string> {
  try {
    const connection = await dialWith(address, material);
    try {
      await connection.call(method, { SessionID: "x" });
    } finally {
      connection.close();
    }
    return "ok";
  } catch (thrown) {
    return CoveyError.from(thrown).code;
  }
}

Deno.test("Callers: nobody, a worker and a node of another cluster get what their certificate is worth", () =>
  withManager(async ({ folder, address, token }) => {
    const elsewhere = `127.0.0.1:${freePort()}`;
    const other = startManager(folder, "other", "--listen", elsewhere);
    await other.says(/serves at/);
    const foreignToken = await joinToken(`${folder}/other/covey.sock`);
    const agents = [
      start("agent", "--state-dir", `${folder}/a`, "--join", address, "--token", token),
      start("agent", "--state-dir", `${folder}/b`, "--join", elsewhere, "--token", foreignToken),
    ];
    for (const agent of agents) await agent.says(/is connected/);
    const worker = await materialOf(`${folder}/a`), foreigner = await materialOf(`${folder}/b`);
    assert.equal(await codeOf(address, "dispatcher.heartbeat"), "unauthenticated");
    assert.equal(await codeOf(address, "dispatcher.heartbeat", foreigner), "unauthenticated");
    assert.equal(await codeOf(elsewhere, "dispatcher.heartbeat", worker), "unauthenticated");
    assert.match(await codeOf(address, "raft.step", worker), /^(permission_denied|unimplemented)$/);
    assert.equal(await codeOf(address, "no.such.call", worker), "unimplemented");
    assert.match(await codeOf(address, "dispatcher.heartbeat", worker), /^invalid_argument$/);
    // An agent moved to a manager of another cluster is told so, and goes on trying its own.
    assert.equal(await agents[1]!.end(), 0);
    await Deno.remove(`${folder}/b/managers`).catch(() => {});
    const lost = start("agent", "--state-dir", `${folder}/b`, "--join", address);
    await lost.says(/has no manager to talk to.*: Cannot trust .*(cluster|root)/);
    for (const program of [lost, agents[0]!, other]) assert.equal(await program.end(), 0);
  }));
