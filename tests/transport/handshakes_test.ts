import assert from "node:assert/strict";
import { once } from "node:events";
import { setImmediate } from "node:timers";
import net from "node:net";
import tls from "node:tls";
import { systemClock } from "../../api/clock.ts";
import { Handshakes } from "../../transport/handshakes.ts";
import { TLS_OPTIONS } from "../../transport/tls_pipe.ts";
import { collectGarbage } from "../support/gc.ts";
import { OpenSSLAuthority } from "../support/openssl.ts";
import { until } from "../support/transport.ts";

const authority = new OpenSSLAuthority();
globalThis.addEventListener("unload", () => authority[Symbol.dispose]());
const { certificatePEM: cert, privateKeyPEM: key } = authority.issue("m1", "swarm-manager");

interface Door {
  handshakes: Handshakes;
  /** Sockets that are through. */
  through: tls.TLSSocket[];
  /** Those that have begun. */
  begun: unknown[];
  open: net.Socket[];
  connect(from?: string): Promise<net.Socket>;
  shake(from?: string): tls.TLSSocket;
}

async function withDoor(most: number, test: (door: Door) => Promise<void>): Promise<void> {
  const through: tls.TLSSocket[] = [], open: net.Socket[] = [], begun: unknown[] = [];
  const secureContext = tls.createSecureContext({ cert, key, minVersion: "TLSv1.3" });
  const handshakes = new Handshakes({
    clock: systemClock,
    most,
    timeoutMs: 10_000,
    secureContext: () => {
      begun.push(through);
      return secureContext;
    },
    done: (socket) => through.push(socket),
  });
  const server = net.createServer((socket) => handshakes.begin(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const follow = <S extends net.Socket>(socket: S): S => {
    open.push(socket.on("error", () => {}));
    return socket.resume();
  };
  const to = (from = "127.0.0.1") => ({ host: "127.0.0.1", port, localAddress: from });
  try {
    await test({
      handshakes,
      through,
      begun,
      open,
      async connect(from) {
        const socket = follow(net.connect(to(from)));
        await once(socket, "connect");
        return socket;
      },
      shake: (from) => follow(tls.connect({ ...to(from), ...TLS_OPTIONS })),
    });
  } finally {
    const ends = [...open, ...through].filter((socket) => !socket.closed).map((socket) => {
      const closed = once(socket, "close");
      socket.destroy();
      return closed;
    });
    handshakes.close();
    await Promise.all(ends);
    server.close();
    await once(server, "close");
  }
}

Deno.test("Handshakes: beyond the limit whoever has most loses its oldest, and others get in", async () => {
  await withDoor(4, async ({ handshakes, through, connect, shake }) => {
    const silent: net.Socket[] = [];
    for (let i = 0; i < 4; i++) silent.push(await connect("127.0.0.2"));
    await until(() => handshakes.size === 4);
    shake("127.0.0.3");
    await until(() => through.length === 1);
    await until(() => silent[0]!.closed);
    assert.deepEqual(silent.map((socket) => socket.closed), [true, false, false, false]);
    assert.equal(handshakes.size, 3);
  });
});

Deno.test("Handshakes: one begins in each turn of the event loop, however many wait", async () => {
  await withDoor(100, async ({ through, shake, begun }) => {
    let turn = 0, going = true;
    const turns: number[] = [];
    const count = () => {
      turn++;
      if (going) setImmediate(count);
    };
    count();
    begun.push = () => turns.push(turn);
    for (let i = 0; i < 40; i++) shake();
    await until(() => through.length === 40);
    going = false;
    assert.equal(new Set(turns).size, 40, turns.join(" "));
  });
});

Deno.test("Handshakes: those that fail, by whatever, leave nothing behind", async () => {
  await withDoor(100, async ({ handshakes, through, open, connect, shake }) => {
    const junk = new Uint8Array([22, 3, 1, 0, 5, 1, 2, 3, 4, 5, 6, 7]);
    const fail = async (i: number) => {
      const socket = i % 3 === 0 ? shake() : await connect();
      if (i % 3 === 0) await once(socket, "connect");
      if (i % 3 === 1) socket.write(junk);
      const closed = once(socket, "close");
      if (i % 3 !== 1) socket.destroy();
      await closed;
    };
    const round = async () => {
      for (let i = 0; i < 300; i += 30) {
        await Promise.all(Array.from({ length: 30 }, (_, j) => fail(i + j)));
      }
      await until(() => handshakes.size === 0);
      for (const socket of through.splice(0)) socket.destroy();
      open.length = 0;
      await new Promise((resolve) => setTimeout(resolve, 50));
      collectGarbage();
      return Deno.memoryUsage().heapUsed;
    };
    await round();
    const before = await round();
    const grown = (await round() + await round() - 2 * before) / 3 / 300;
    assert.ok(grown < 1000, `${Math.round(grown)} bytes a handshake stay`);
  });
});
