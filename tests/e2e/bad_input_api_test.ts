/** Wrong requests on the live control socket: each answer names the field or cause, and what is acknowledged stays. */
import assert from "node:assert/strict";
import { withManager } from "../support/one_manager.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

/** A request as it stands, and the first kilobytes of what comes back. */
async function raw(socket: string, request: Uint8Array): Promise<string> {
  const connection = await Deno.connect({ transport: "unix", path: socket });
  let answer = "";
  try {
    await connection.write(request);
    await connection.closeWrite().catch(() => {});
    const buffer = new Uint8Array(4096);
    for (let count; (count = await connection.read(buffer)) !== null && answer.length < 8192;) {
      answer += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // Cut off: nothing more comes.
  } finally {
    connection.close();
  }
  return answer;
}

function client(socket: string) {
  const http = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  return {
    close: () => http.close(),
    async call(method: string, path: string, body?: unknown) {
      const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
      const response = await fetch(`${SOCKET_ORIGIN}/v1.41${path}`, {
        client: http,
        method,
        ...(text !== undefined && { body: text, headers: { "content-type": "application/json" } }),
      });
      return { status: response.status, text: await response.text() };
    },
  };
}

const program = { Runtime: "process", ProcessSpec: { Command: "/bin/true" } };
const good = { Name: "good", TaskTemplate: program, Mode: { Replicated: { Replicas: 0 } } };
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

/** Method, path, body, status, and what the answer says. */
const REFUSED: [string, string, unknown, number, RegExp][] = [
  ["POST", "/services/create", "{", 400, /Cannot parse the request body: Expected property name/],
  ["POST", "/services/create", undefined, 400, /got EOF while reading request body/],
  ["POST", "/services/create", "null", 400, /TaskTemplate.ContainerSpec: mismatched Runtime and/],
  ["POST", "/services/create", [], 400, /body: cannot unmarshal array into object/],
  ["POST", "/services/create", { ...good, Name: 5 }, 400, /Name: cannot unmarshal number into string/],
  ["POST", "/services/create", { ...good, Name: "a b" }, 400, /Name: name must be valid as a DNS name/],
  [
    "POST",
    "/services/create",
    { ...good, TaskTemplate: 5 },
    400,
    /TaskTemplate: cannot unmarshal number into object/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, Mode: { Replicated: { Replicas: "x" } } },
    400,
    /Replicas: cannot unmarshal string/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, Mode: { Replicated: { Replicas: -1 } } },
    400,
    /Mode.Replicated.Replicas: /,
  ],
  [
    "POST",
    "/services/create",
    { ...good, UpdateConfig: { Order: "x" } },
    400,
    /UpdateConfig.Order: unrecognized update order x/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, TaskTemplate: { ...program, RestartPolicy: { Condition: "x" } } },
    400,
    /TaskTemplate.RestartPolicy.Condition: invalid RestartCondition: .{1,2}"x/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, Labels: JSON.parse('{"__proto__":"x"}') },
    400,
    /Labels.__proto__: the name is reserved/,
  ],
  [
    "POST",
    "/services/create",
    `{"Name":"x","TaskTemplate":{"Runtime":"timer","GenericSpec":{"Payload":${nested(20_000)}}}}`,
    400,
    /TaskTemplate.GenericSpec.Payload: nested deeper than 32/,
  ],
  [
    "POST",
    "/services/create",
    `{"Name":"x","TaskTemplate":{"Runtime":"timer","GenericSpec":{"Payload":{"__proto__":{}}}}}`,
    400,
    /TaskTemplate.GenericSpec.Payload: the name __proto__ is reserved/,
  ],
  ["POST", "/services/create", good, 409, /service good already exists/],
  ["POST", "/services/create", "x".repeat(5_000_000), 413, /it has 5000000 bytes, more than 4194304/],
  [
    "POST",
    "/services/create",
    { ...good, Name: "big", Labels: { x: "x".repeat(3_000_000) } },
    400,
    /Labels.x: has 3000000 characters, at most 131072 are allowed/,
  ],
  [
    "POST",
    "/services/create",
    {
      ...good,
      Name: "big",
      Labels: { a: "x".repeat(100_000), b: "x".repeat(100_000), c: "x".repeat(100_000) },
    },
    400,
    /spec: has \d+ bytes, at most 262144 are allowed/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, Labels: { "a\u202eb": "x", c: "\u001b[2J" } },
    400,
    /Labels.a b: must not hold control or direction characters; Labels.c: must not/,
  ],
  [
    "POST",
    "/services/create",
    { ...good, TaskTemplate: { ...program, Resources: { Reservations: { GenericResources: [{}] } } } },
    400,
    /GenericResources\[0\]: must have one of DiscreteResourceSpec and NamedResourceSpec/,
  ],
  ["POST", "/services/good/update", good, 400, /invalid service version ''/],
  ["POST", "/services/good/update?version=x", good, 400, /invalid service version 'x'/],
  ["POST", "/services/good/update?version=1", good, 500, /update out of sequence/],
  ["POST", "/services/none/update?version=1", good, 404, /service none not found/],
  [
    "POST",
    "/nodes/none/update?version=1",
    { Role: "worker", Availability: "active" },
    404,
    /node none not found/,
  ],
  [
    "POST",
    "/swarm/update?version=1",
    { Dispatcher: { HeartbeatPeriod: "x" } },
    400,
    /Dispatcher.HeartbeatPeriod: cannot unmarshal string/,
  ],
  ["POST", "/swarm/init", {}, 503, /This node is already part of a swarm/],
  ["POST", "/swarm/join", {}, 503, /This node is already part of a swarm/],
  ["GET", "/services?filters=%7B", undefined, 400, /invalid filter/],
  ["GET", "/services?filters=%7B%22x%22%3A%5B%22y%22%5D%7D", undefined, 400, /Invalid filter 'x'/],
  ["GET", "/tasks/none", undefined, 404, /task none not found/],
  ["DELETE", "/services/none", undefined, 404, /service none not found/],
  ["GET", "/swarm/nothing", undefined, 404, /page not found/],
];

Deno.test("Control API: every wrong request is answered with the field or cause, and changes nothing", () =>
  withManager(async ({ socket }) => {
    const { call, close } = client(socket);
    assert.equal((await call("POST", "/services/create", good)).status, 201);
    const before = (await call("GET", "/services")).text;
    for (const [method, path, body, status, reason] of REFUSED) {
      const answer = await call(method, path, body), what = `${method} ${path} ${reason}`;
      assert.match(answer.text, reason, what);
      assert.equal(answer.status, status, what);
      assert.doesNotMatch(answer.text, /Maximum call stack|undefined|\[object/, what);
    }
    assert.equal((await call("GET", "/services")).text, before);
    close();
  }));

const HEADS = [
  "NONSENSE\r\n\r\n",
  "POST /v1.41/services/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
  "POST /v1.41/services/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
  "POST /v1.41/services/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
  `GET /v1.41/services HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(300_000)}\r\n\r\n`,
];

Deno.test("Control socket: what is no HTTP is refused, cut or not, and the next client is served", () =>
  withManager(async ({ socket }) => {
    for (const head of HEADS) {
      const answer = await raw(socket, new TextEncoder().encode(head));
      assert.match(answer, /^HTTP\/1\.1 4\d\d .*"message":/s, head.slice(0, 80));
    }
    const cut = "POST /v1.41/services/create HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{";
    await raw(socket, new TextEncoder().encode(cut));
    for (let i = 1; i <= 30; i++) await raw(socket, crypto.getRandomValues(new Uint8Array(i * 500)));
    const { call, close } = client(socket);
    assert.equal((await call("GET", "/services")).text.trim(), "[]");
    close();
  }));
