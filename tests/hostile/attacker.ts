/**
 * A program that attacks a manager for a while: `attacker.ts ATTACK TARGET SECONDS [FOLDER]`, with the certificate in a
 * node's state folder, or without.
 */
import net from "node:net";
import tls from "node:tls";
import { encodeFrame, type Frame, FrameType } from "../../transport/frames.ts";
import { DISPATCHER_METHODS, type SessionMessage } from "../../api/dispatcher.ts";
import { type Connection, parseAddress } from "../../transport/mod.ts";
import { TLS_OPTIONS } from "../../transport/tls_pipe.ts";
import { DESCRIPTION } from "../manager/dispatcher/harness.ts";
import { dialWith, materialOf } from "../support/node_material.ts";

const MAX_BYTES = 4 * 1024 * 1024;
/** Bytes written at once: more only wait in this process. */
const BATCH_BYTES = 256 * 1024;
/** Where attackers come from; whoever joins comes from elsewhere. */
const FROM = "127.0.0.99";

const [attack = "", target = "", seconds = "", folder] = Deno.args;
const material = folder === undefined ? undefined : await materialOf(folder);
const identity = material ? { cert: material.certificatePEM, key: material.privateKeyPEM } : {};
const end = performance.now() + Number(seconds) * 1000;
let done = 0;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function packed(frame: Frame): Uint8Array {
  const body = encodeFrame(frame, MAX_BYTES), bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}

function joined(pieces: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** A TLS connection; undefined if it was refused. */
function secured(): Promise<tls.TLSSocket | undefined> {
  return new Promise((resolve) => {
    const plain = net.connect({ ...parseAddress(target), localAddress: FROM }).on("error", () => {});
    const socket = tls.connect({ ...TLS_OPTIONS, ...identity, socket: plain });
    socket.on("error", () => {});
    socket.once("close", () => resolve(undefined));
    socket.once("secureConnect", () => resolve(socket));
  });
}

/** Writes what `next` gives to a connection, and to another when it is cut; reads nothing unless `reads`. */
async function flood(next: () => Uint8Array, reads: boolean): Promise<void> {
  while (performance.now() < end) {
    const socket = await secured();
    if (!socket) {
      await pause(5);
      continue;
    }
    if (reads) socket.resume();
    while (!socket.destroyed && performance.now() < end) {
      const bytes = next();
      done += bytes.length;
      if (!socket.write(bytes)) {
        await Promise.race([new Promise((go) => socket.once("drain", go)), pause(100)]);
      }
      // So that the end of the connection is seen.
      await pause(0);
    }
    socket.destroy();
  }
}

const times = (count: number, run: () => Promise<void>) => Promise.all(Array.from({ length: count }, run));

/** Frames that open calls named `method`, with `values` of junk each. */
function opens(method: string, values: number): () => Uint8Array {
  const junk = new Array(values).fill(0);
  let id = -1;
  return () => {
    const frames: Uint8Array[] = [];
    for (let bytes = 0; bytes < BATCH_BYTES;) {
      const frame = packed([FrameType.open, id += 2, "unary", method, junk, 0, 0]);
      frames.push(frame);
      bytes += frame.length;
    }
    return joined(frames);
  };
}

async function connectPlain(): Promise<net.Socket> {
  const socket = net.connect({ ...parseAddress(target), localAddress: FROM }).on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  return socket;
}

/** Opens `count` connections to the control socket and gives each to `use`, until time is up. */
async function control(count: number, use: (connection: Deno.UnixConn) => Promise<void>): Promise<void> {
  await times(count, async () => {
    while (performance.now() < end) {
      try {
        using connection = await Deno.connect({ transport: "unix", path: target });
        await use(connection);
        done++;
      } catch {
        await pause(20);
      }
    }
  });
}

const text = (words: string) => new TextEncoder().encode(words);

/** A session as an agent opens it, and its ID; what is refused, or cut later, is left to `use`'s end. */
async function withSession(use: (connection: Connection, sessionID: string) => Promise<void>): Promise<void> {
  let connection: Connection | undefined;
  try {
    connection = await dialWith(target, material);
    const messages = connection.serverStream<SessionMessage>(DISPATCHER_METHODS.session, {
      Description: DESCRIPTION,
    });
    for await (const { SessionID } of messages) {
      await use(connection, SessionID);
      break;
    }
  } catch {
    await pause(20);
  } finally {
    connection?.close();
  }
}

/** What no agent reports. */
const JUNK_UPDATES = Array.from({ length: 500 }, (_, i) => ({
  TaskID: `task${i}`,
  Status: {
    State: "running",
    Timestamp: "yesterday",
    Message: "x".repeat(200),
    ContainerStatus: { PID: -(2 ** 64) },
  },
}));

const ATTACKS: Record<string, () => Promise<unknown>> = {
  junk_statuses: () =>
    times(4, async () => {
      while (performance.now() < end) {
        await withSession(async (connection, SessionID) => {
          const request = { SessionID, Updates: JUNK_UPDATES };
          while (performance.now() < end) {
            await times(20, () =>
              connection.call(DISPATCHER_METHODS.updateTaskStatus, request).then(() => {}, () => {}).then(
                () =>
                  void done++,
              ));
            await pause(0);
          }
        });
      }
    }),
  /** Connections to tasks of others, asked for with anything: of no network, to no address, with no end of pieces. */
  relays: () =>
    times(4, async () => {
      while (performance.now() < end) {
        await withSession(async (connection, SessionID) => {
          const pieces = async function* () {
            while (performance.now() < end) yield new Uint8Array(64 * 1024);
          };
          const requests = [
            { SessionID, NetworkID: "nowhere", Address: "10.0.0.9", Port: 80 },
            { SessionID, NetworkID: "__proto__", Address: "10.0.0.9", Port: 80 },
            { SessionID, NetworkID: "x".repeat(60), Address: "no address", Port: 1e9 },
            { SessionID: "other", NetworkID: "n", Address: "10.0.0.9", Port: 80 },
            null,
          ];
          while (performance.now() < end) {
            await times(20, async () => {
              for (const request of requests) {
                const got = connection.duplex(DISPATCHER_METHODS.relay, request, pieces());
                await Array.fromAsync(got).catch(() => {});
                done++;
              }
            });
            await pause(0);
          }
        });
      }
    }),
  sessions: () =>
    times(100, async () => {
      while (performance.now() < end) {
        done++;
        await withSession(async (connection, SessionID) => {
          while (performance.now() < end) await connection.call(DISPATCHER_METHODS.heartbeat, { SessionID });
        });
      }
    }),
  pings: () => {
    const pings = joined(new Array(50_000).fill(packed([FrameType.ping])));
    return times(4, () => flood(() => pings, true));
  },
  unknown_calls: () => times(4, () => flood(opens("no.such", 1), false)),
  junk_values: () => times(16, () => flood(opens("ca.issueNodeCertificate", 60_000), true)),
  junk_streams: () => times(16, () => flood(opens("ca.nodeCertificateStatus", 30), false)),
  idle: async () => {
    const sockets = await Promise.all(Array.from({ length: 300 }, secured));
    done = sockets.filter(Boolean).length;
    console.log("ready");
    await pause(end - performance.now());
  },
  /** Handshakes that are given up after the first bytes, at once or later. */
  aborted: () =>
    times(20, async () => {
      while (performance.now() < end) {
        const socket = await connectPlain();
        if (done % 3 > 0) socket.write(new Uint8Array([22, 3, 1, 0, 5, 1, 2, 3, 4, 5, 6]));
        if (done++ % 3 > 1) await pause(50);
        socket.destroy();
      }
    }),
  handshakes: () =>
    times(30, async () => {
      while (performance.now() < end) {
        const socket = await secured();
        done++;
        socket?.destroy();
      }
    }),
  silent: async () => {
    const sockets = await Promise.all(Array.from({ length: 900 }, connectPlain));
    done = sockets.length;
    await pause(end - performance.now());
  },
  chunks: () => {
    const chunks = text("1\r\na\r\n".repeat(20_000));
    return control(4, async (connection) => {
      await connection.write(
        text("POST /v1.41/services/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
      );
      while (performance.now() < end) {
        for (let at = 0; at < chunks.length;) at += await connection.write(chunks.subarray(at));
      }
    });
  },
  slow_heads: () =>
    control(700, async (connection) => {
      for (const piece of ["GET /v1.41/nodes HTTP/1.1\r\n", "X-A: a\r\n", "X-B: b"]) {
        await connection.write(text(piece));
        await pause(1000);
      }
    }),
  slow_bodies: () =>
    control(300, async (connection) => {
      await connection.write(text("POST /v1.41/services/create HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n"));
      const piece = new Uint8Array(16 * 1024);
      while (performance.now() < end) {
        await connection.write(piece);
        await pause(200);
      }
    }),
};

await ATTACKS[attack]!();
console.log(`${attack}: ${done}`);
Deno.exit();
