import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { systemClock } from "../../api/clock.ts";
import type { CoveyError } from "../../api/errors.ts";
import { isVersion3 } from "../../transport/peer_chain.ts";
import {
  type Connection,
  type Listener,
  listenTLS,
  type Method,
  parseAddress,
  tlsDialer,
  type TLSListenOptions,
  type TLSMaterial,
} from "../../transport/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { collectGarbage } from "../support/gc.ts";
import { freePort } from "../support/programs.ts";
import { OpenSSLAuthority } from "../support/openssl.ts";
import { routerOf, until, verifyAgainst } from "../support/transport.ts";

const authority = new OpenSSLAuthority();
globalThis.addEventListener("unload", () => authority[Symbol.dispose]());
const verifyPeer = verifyAgainst(authority.rootPEM);
const manager = authority.issue("m1", "swarm-manager");
const worker = authority.issue("w1", "swarm-worker");

const methods: Record<string, Method> = {
  "t.who": {
    kind: "unary",
    access: "anyone",
    handler: (_request, { peer }) =>
      Promise.resolve(peer ? `${peer.nodeID} ${peer.role} ${peer.clusterID}` : "anonymous"),
  },
  "t.count": {
    kind: "server_stream",
    access: "node",
    async *handler(request) {
      for (let i = 0; i < (request as number); i++) yield await Promise.resolve({ N: i });
    },
  },
  "t.big": { kind: "unary", access: "node", handler: (request) => Promise.resolve(request) },
};

async function withListener(
  test: (listener: Listener, accepted: Connection[]) => Promise<void>,
  options: Partial<TLSListenOptions> = {},
): Promise<void> {
  const accepted: Connection[] = [];
  const listener = await listenTLS({
    listen: "127.0.0.1:0",
    identity: () => manager,
    verifyPeer,
    router: routerOf(methods),
    clock: systemClock,
    onConnection: (connection) => accepted.push(connection),
    ...options,
  });
  try {
    await test(listener, accepted);
  } finally {
    await listener.close();
  }
}

const dialerOf = (material?: TLSMaterial) =>
  tlsDialer({ identity: () => material, verifyPeer, clock: systemClock });

async function hangUp(connection: Connection): Promise<void> {
  connection.close();
  await connection.closed;
}

/** Resolves when a socket is closed, with an error or without. */
function closing(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.on("error", () => {}).on("close", () => resolve()));
}

async function stop(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null) return;
  const exited = once(process, "exit");
  process.kill("SIGKILL");
  await exited;
}

Deno.test("TLS: each end proves who it is", async () => {
  await withListener(async (listener, accepted) => {
    const connection = await dialerOf(worker).dial(listener.address);
    assert.equal(await connection.call("t.who", null), "w1 swarm-worker cluster1");
    assert.equal(connection.peer?.nodeID, "m1");
    assert.equal(connection.peer?.role, "swarm-manager");
    assert.equal(accepted[0]?.peer?.nodeID, "w1");
    assert.equal(connection.remoteAddress, listener.address);
    await hangUp(connection);
  });
});

Deno.test("TLS: streams and large messages", async () => {
  await withListener(async (listener) => {
    const connection = await dialerOf(worker).dial(listener.address);
    let last: unknown;
    for await (const item of connection.serverStream("t.count", 20_000)) last = item;
    assert.deepEqual(last, { N: 19_999 });
    const large = new Uint8Array(3_000_000).map((_, i) => i);
    assert.deepEqual(await connection.call("t.big", large), large);
    await hangUp(connection);
  });
});

Deno.test("TLS: over IPv6", async () => {
  await withListener(async (listener) => {
    assert.match(listener.address, /^\[::1\]:\d+$/);
    const connection = await dialerOf(worker).dial(listener.address);
    assert.equal(connection.remoteAddress, listener.address);
    await hangUp(connection);
  }, { listen: "[::1]:0" });
});

Deno.test("TLS: a joiner without certificate sees the chain up to the root and may call what anyone may", async () => {
  await withListener(async (listener) => {
    const dialer = tlsDialer({ identity: () => undefined, verifyPeer: () => undefined, clock: systemClock });
    const connection = await dialer.dial(listener.address);
    const [leaf, root] = connection.peerChainPEM!.split(/(?<=END CERTIFICATE-----\n)/);
    assert.equal(
      new X509Certificate(root!).fingerprint256,
      new X509Certificate(authority.rootPEM).fingerprint256,
    );
    assert.match(new X509Certificate(leaf!).subject, /CN=m1/);
    assert.equal(await connection.call("t.who", null), "anonymous");
    await assert.rejects(connection.call("t.big", null), { code: "unauthenticated" });
    await hangUp(connection);
  });
});

Deno.test("TLS: a certificate of another cluster is refused at both ends, with the reason", async () => {
  using other = new OpenSSLAuthority("cluster2");
  const stranger = other.issue("w1", "swarm-worker");
  await withListener(async (listener) => {
    const reason = { code: "permission_denied", message: /another cluster's root/ };
    await assert.rejects(dialerOf(stranger).dial(listener.address), reason);
    const suspicious = tlsDialer({
      identity: () => worker,
      verifyPeer: verifyAgainst(other.rootPEM),
      clock: systemClock,
    });
    await assert.rejects(suspicious.dial(listener.address), reason);
    await hangUp(await dialerOf(worker).dial(listener.address));
  });
});

Deno.test("TLS: a client that holds a node's certificate, but not its key, is refused", async () => {
  await withListener(async (listener, accepted) => {
    const port = String(parseAddress(listener.address).port);
    const chain = [
      "-cert",
      worker.leafFile,
      "-cert_chain",
      authority.rootFile,
      "-alpn",
      "covey/1",
      "-tls1_3",
    ];
    for (const [key, welcome] of [[worker.keyFile, true], [authority.forgedKey(worker), false]] as const) {
      const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-key", key, ...chain];
      const client = spawn("openssl", args, { stdio: ["pipe", "pipe", "pipe"] });
      let output = "";
      client.stdout.on("data", (data) => output += data);
      client.stderr.on("data", (data) => output += data);
      const exited = once(client, "exit");
      if (welcome) {
        await until(() => accepted.length === 1);
        client.kill("SIGKILL");
      }
      // The impostor's connection is closed by the listener, which makes the program exit by itself.
      const [exitCode] = await exited;
      assert.equal(exitCode, welcome ? null : 1, output);
      assert.equal(accepted.length, 1, output);
      assert.equal(accepted[0]!.peer?.nodeID, "w1");
    }
  });
});

Deno.test("TLS: a server that holds a manager's certificate, but not its key, is refused", async () => {
  const args = [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    "-cert",
    manager.leafFile,
    "-cert_chain",
    authority.rootFile,
  ];
  const key = authority.forgedKey(manager);
  const server = spawn("openssl", [...args, "-key", key, "-alpn", "covey/1", "-tls1_3"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  let output = "";
  server.stdout.on("data", (data) => output += data);
  await until(() => /ACCEPT .*:\d+/.test(output));
  const port = /ACCEPT .*:(\d+)/.exec(output)![1];
  await assert.rejects(dialerOf(worker).dial(`127.0.0.1:${port}`), (error: CoveyError) => {
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /Cannot connect to/);
    return true;
  });
  await stop(server);
});

Deno.test("TLS: version 1 certificates are refused, because their key is not proven", async () => {
  const old = authority.issue("w1", "swarm-worker", { version1: true });
  assert.equal(isVersion3(new X509Certificate(old.certificatePEM).raw), false);
  assert.equal(isVersion3(new X509Certificate(worker.certificatePEM).raw), true);
  for (const bytes of [[], [0x30], [0x30, 0x82], [0x30, 0xff, 1, 2]]) {
    assert.equal(isVersion3(Uint8Array.from(bytes)), false);
  }
  await withListener(async (listener) => {
    await assert.rejects(dialerOf(old).dial(listener.address), {
      code: "unauthenticated",
      message: /version 3/,
    });
  });
  await withListener(async (listener) => {
    await assert.rejects(dialerOf(worker).dial(listener.address), {
      code: "unauthenticated",
      message: /version 3/,
    });
  }, { identity: () => authority.issue("m1", "swarm-manager", { version1: true }) });
});

Deno.test("TLS: a renewed certificate goes live for new connections and keeps the open ones", async () => {
  let server = manager;
  let client = worker;
  await withListener(async (listener) => {
    const dialer = tlsDialer({ identity: () => client, verifyPeer, clock: systemClock });
    const before = await dialer.dial(listener.address);
    server = authority.issue("m1", "swarm-manager");
    client = authority.issue("w1", "swarm-manager");
    listener.refreshIdentity();
    const after = await dialer.dial(listener.address);
    assert.notEqual(after.peer?.certificatePEM, before.peer?.certificatePEM);
    assert.ok(server.certificatePEM.startsWith(after.peer!.certificatePEM));
    assert.equal(await after.call("t.who", null), "w1 swarm-manager cluster1");
    assert.equal(await before.call("t.who", null), "w1 swarm-worker cluster1");
    await hangUp(before);
    await hangUp(after);
  }, { identity: () => server });
});

Deno.test("TLS: other protocols and older versions get no connection", async () => {
  await withListener(async (listener, accepted) => {
    const { port } = parseAddress(listener.address);
    for (
      const options of [{ ALPNProtocols: ["h2"] }, {
        ALPNProtocols: ["covey/1"],
        maxVersion: "TLSv1.2" as const,
      }]
    ) {
      const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
      await closing(socket);
    }
    const silent = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    silent.resume();
    await closing(silent);
    assert.equal(accepted.length, 0);
  });
});

Deno.test("TLS: bytes that are no TLS, and silence, are cut off; others are unaffected", async () => {
  const clock = new FakeClock();
  await withListener(async (listener) => {
    const { port } = parseAddress(listener.address);
    const good = await dialerOf(worker).dial(listener.address);
    const plain = net.connect(port, "127.0.0.1");
    plain.resume();
    plain.write("GET / HTTP/1.1\r\n\r\n");
    await closing(plain);
    const silent = net.connect(port, "127.0.0.1");
    silent.resume();
    const closed = closing(silent);
    await once(silent, "connect");
    await until(() => clock.pending > 1);
    await clock.advance(10_000);
    await closed;
    assert.equal(await good.call("t.who", null), "w1 swarm-worker cluster1");
    await hangUp(good);
  }, { clock });
  assert.equal(clock.pending, 0);
});

Deno.test("TLS: hostile frames close their own connection only", async () => {
  await withListener(async (listener) => {
    const { port } = parseAddress(listener.address);
    const good = await dialerOf(worker).dial(listener.address);
    const attacks = [[255, 255, 255, 255], [0, 0, 0, 1, 0xff], [0, 0, 0, 3, 0x9b, 0xff, 0xff], [0, 0, 0, 0]];
    for (const bytes of attacks) {
      const { certificatePEM: cert, privateKeyPEM: key } = worker;
      const options = {
        host: "127.0.0.1",
        port,
        rejectUnauthorized: false,
        ALPNProtocols: ["covey/1"],
        cert,
        key,
      };
      const socket = tls.connect(options, () => socket.write(Uint8Array.from(bytes)));
      let answer = "";
      socket.on("data", (data) => answer += data.toString("latin1"));
      await closing(socket);
      assert.match(answer, /Cannot read frame/);
    }
    assert.equal(await good.call("t.who", null), "w1 swarm-worker cluster1");
    await hangUp(good);
  });
});

Deno.test("TLS: a dial that finds nobody, nobody who answers, or a bad address fails with its reason", async () => {
  const mute = net.createServer((socket) => socket.on("error", () => {}).resume());
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  const { port } = mute.address() as net.AddressInfo;
  const clock = new FakeClock();
  const dialer = tlsDialer({ identity: () => worker, verifyPeer, clock });
  const late = assert.rejects(dialer.dial(`127.0.0.1:${port}`), {
    code: "deadline_exceeded",
    retryable: true,
  });
  await clock.advance(10_000);
  await late;
  const controller = new AbortController();
  const canceled = assert.rejects(dialer.dial(`127.0.0.1:${port}`, { signal: controller.signal }), {
    code: "canceled",
  });
  controller.abort();
  await canceled;
  mute.close();
  await once(mute, "close");
  await assert.rejects(dialer.dial(`127.0.0.1:${port}`), { code: "unavailable", message: /refused/i });
  await assert.rejects(dialer.dial("nonsense"), { code: "invalid_argument" });
  assert.equal(clock.pending, 0);
});

Deno.test("TLS: a port that is taken cannot be listened on", async () => {
  await withListener(async (listener) => {
    await assert.rejects(withListener(() => Promise.resolve(), { listen: listener.address }), {
      code: "unavailable",
      message: /Cannot listen on .*in use/i,
    });
  });
});

Deno.test("TLS: closing the listener tells every connection", async () => {
  let connection: Connection | undefined;
  await withListener(async (listener) => {
    connection = await dialerOf(worker).dial(listener.address);
  });
  assert.match((await connection!.closed)!.message, /the listener is closing/);
});

Deno.test("TLS: a sandboxed program that may reach one port only dials and calls, and nothing else", async () => {
  await withListener(async (listener) => {
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const script = new URL("../support/sandboxed_dialer.ts", import.meta.url).pathname;
    const flags = ["run", "--no-prompt", "--config", config, `--allow-net=${listener.address}`, script];
    const program = new Deno.Command(Deno.execPath(), {
      args: flags,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    const child = program.spawn();
    const writer = child.stdin.getWriter();
    const { certificatePEM, privateKeyPEM } = worker;
    await writer.write(
      new TextEncoder().encode(JSON.stringify({ address: listener.address, certificatePEM, privateKeyPEM })),
    );
    await writer.close();
    const { code, stdout, stderr } = await child.output();
    const report = new TextDecoder().decode(stdout).trim();
    assert.equal(report, "w1 swarm-worker cluster1; another port: refused", new TextDecoder().decode(stderr));
    assert.equal(code, 0);
  });
});

Deno.test("TLS: a dial that is refused leaves nothing behind", async () => {
  const port = freePort();
  const dialer = dialerOf(worker);
  const round = async () => {
    for (let i = 0; i < 200; i++) {
      await assert.rejects(dialer.dial(`127.0.0.1:${port}`), {
        code: "unavailable",
        message: /ECONNREFUSED/,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    collectGarbage();
    return Deno.memoryUsage().heapUsed;
  };
  await round();
  const before = await round();
  const grown = (await round() - before) / 200;
  assert.ok(grown < 2000, `${Math.round(grown)} bytes a dial stay`);
});
