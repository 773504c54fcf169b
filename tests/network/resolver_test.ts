import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import { Askers } from "../../network/askers.ts";
import { NodeNetworks } from "../../network/node_networks.ts";
import { Resolver } from "../../network/resolver.ts";
import { askOverTCP } from "../../network/tcp_questions.ts";

/** Asks of a loopback address: in place of a place of the link's range. */
class Loopback extends Askers {
  override at(): string {
    return "10.0.1.9";
  }
}

const LOOPBACK = "127.0.0.1";

function question(name: string, type = 1): Uint8Array {
  const labels = name.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return new Uint8Array([7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, type, 0, 1]);
}

async function bound(socket: Socket): Promise<number> {
  await new Promise<void>((resolve) => socket.bind(0, LOOPBACK, resolve));
  return socket.address().port;
}

function told(Internal = false): NodeNetworks {
  const all = new NodeNetworks();
  const Backends = Array.from(
    { length: 200 },
    (_, at) => ({ TaskID: `t${at}`, Name: `many.${at}`, NodeID: "n", Address: `10.0.1.${at + 20}` }),
  );
  all.take({
    networks: [{
      ID: "a",
      Name: "shop",
      VNI: 4097,
      DataPathPort: 4789,
      Subnets: [{ Subnet: "10.0.1.0/24", Gateway: "10.0.1.1" }],
      Internal,
      Ingress: false,
    }],
    peers: [],
    services: [{ NetworkID: "a", ServiceID: "s", Name: "many", Aliases: [], Ports: [], Backends }],
  });
  return all;
}

/** A resolver and, in the place of the host's, one that answers every question with its own bytes and code 3. */
async function withResolver(
  run: (
    ask: (message: Uint8Array) => Promise<Uint8Array>,
    port: number,
    asked: () => number,
  ) => Promise<void>,
  internal = false,
) {
  let count = 0;
  const upstream = createSocket("udp4");
  upstream.on("message", (bytes, from) => {
    count++;
    const answer = new Uint8Array(bytes);
    answer[2] = 0x81;
    answer[3] = 0x83;
    upstream.send(Buffer.from(answer), from.port, from.address);
  });
  const serverPort = await bound(upstream), tasks = () => [];
  const resolver = new Resolver({
    nodeID: "n1",
    told: told(internal),
    tasks,
    askers: new Loopback(tasks),
    clock: systemClock,
    random: systemRandom,
    hostConfig: () => Promise.resolve(`# comment\nnameserver ${LOOPBACK}\nnameserver fd00::1\n`),
    address: LOOPBACK,
    port: 0,
    serverPort,
  });
  const port = await resolver.open(), client = createSocket("udp4");
  await bound(client);
  try {
    await run(
      (message) =>
        new Promise((resolve) => {
          client.once("message", (answer) => resolve(new Uint8Array(answer)));
          client.send(Buffer.from(message), port, LOOPBACK);
        }),
      port,
      () => count,
    );
  } finally {
    client.close();
    resolver.close();
    upstream.close();
  }
}

const code = (answer: Uint8Array) => answer[3]! & 15;
const isCut = (answer: Uint8Array) => (answer[2]! & 2) !== 0;

Deno.test("Resolver: what is known is answered here, the rest by the host's own resolvers, with the asker's number", () =>
  withResolver(async (ask, _port, asked) => {
    const known = await ask(question("many.1"));
    assert.deepEqual([code(known), known[7], [...known.subarray(-4)]], [0, 1, [10, 0, 1, 21]]);
    assert.equal(asked(), 0);
    const other = await ask(question("example.com"));
    assert.deepEqual([code(other), other[0], other[1]], [3, 7, 9]);
    assert.equal(asked(), 1);
  }));

Deno.test("Resolver: a name of ours has no address of IPv6, which is said at once and asked of nobody", () =>
  withResolver(async (ask, _port, asked) => {
    const answer = await ask(question("many.1", 28));
    assert.deepEqual([code(answer), answer[7], asked()], [0, 0, 0]);
  }));

Deno.test("Resolver: who has no way out is told of nothing outside", () =>
  withResolver(async (ask, _port, asked) => {
    assert.equal(code(await ask(question("example.com"))), 3);
    assert.equal(asked(), 0);
  }, true));

Deno.test("Resolver: what does not fit into a packet is cut, and whole over TCP; what is no question ends the connection", () =>
  withResolver(async (ask, port) => {
    const cut = await ask(question("many"));
    assert.ok(isCut(cut) && cut.length <= 512);
    const message = question("many");
    const connection = await Deno.connect({ hostname: LOOPBACK, port });
    const head = new Uint8Array([0, message.length]);
    // In pieces, and two at once.
    await connection.write(head.subarray(0, 1));
    await connection.write(new Uint8Array([...head.subarray(1), ...message, ...head, ...message]));
    for (let at = 0; at < 2; at++) {
      const length = await read(connection, 2), whole = await read(connection, length[0]! * 256 + length[1]!);
      assert.deepEqual([code(whole), isCut(whole), whole[7]], [0, false, 200]);
    }
    await connection.write(new Uint8Array([0xff, 0xff]));
    assert.equal(await connection.read(new Uint8Array(1)).catch(() => null), null);
    connection.close();
  }));

async function read(connection: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await connection.read(bytes.subarray(at));
    assert.ok(count !== null, "the connection ended");
    at += count;
  }
  return bytes;
}

Deno.test("Resolver: other names are asked for over TCP where the sandbox lets it do nothing else; who says nonsense is passed over", async () => {
  const question = new Uint8Array([7, 9, 1, 0]),
    answers: Uint8Array[][] = [
      [new Uint8Array([0]), new Uint8Array([3, 7, 9]), new Uint8Array([0, 255])],
      [],
      [new Uint8Array([1, 0, 0])],
    ];
  const got: (Uint8Array | undefined)[] = [];
  for (const pieces of answers) {
    const server = Deno.listen({ hostname: LOOPBACK, port: 0 });
    const served = server.accept().then(async (connection) => {
      assert.deepEqual(await read(connection, 6), new Uint8Array([0, 4, ...question]));
      for (const piece of pieces) await connection.write(piece);
      connection.close();
    });
    const { port } = server.addr as Deno.NetAddr;
    got.push(await askOverTCP(LOOPBACK, port, question, new AbortController().signal));
    await served;
    server.close();
  }
  assert.deepEqual(got, [new Uint8Array([7, 9, 0]), undefined, undefined]);
  const silent = Deno.listen({ hostname: LOOPBACK, port: 0 }), late = new AbortController();
  const accepted = silent.accept();
  const asking = askOverTCP(LOOPBACK, (silent.addr as Deno.NetAddr).port, question, late.signal);
  const connection = await accepted;
  late.abort();
  assert.equal(await asking, undefined);
  connection.close();
  silent.close();
  assert.equal(await askOverTCP(LOOPBACK, 1, question, new AbortController().signal), undefined);
});
