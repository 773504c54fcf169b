import assert from "node:assert/strict";
import { type ControlSocketOptions, serveControlSocket } from "../../../../manager/http/mod.ts";
import { withinVersions } from "../../../../manager/http/api_version.ts";
import type { EngineEntry } from "../../../../manager/http/front/engine_pipe.ts";
import { MAX_BODY_BYTES } from "../../../../manager/http/front/request_body.ts";
import { withText } from "../../../../manager/http/front/whole_text.ts";
import { SOCKET_ORIGIN } from "../../../../api/socket_origin.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Runs `run` with a control socket in a folder of its own. */
async function withSocket(
  options: Partial<ControlSocketOptions>,
  run: (connect: () => Promise<Client>, path: string) => Promise<void>,
) {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/covey.sock`;
  const fetch = async (request: Request) =>
    new Response(`${request.method} ${new URL(request.url).pathname} [${await request.text()}]`);
  const server = await serveControlSocket({ path, fetch, ...options });
  try {
    await run(async () => new Client(await Deno.connect({ transport: "unix", path })), path);
  } finally {
    await server.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** A client that writes bytes and reads until it has seen what it waits for. */
class Client implements Disposable {
  #seen = "";
  constructor(readonly connection: Deno.UnixConn) {}

  async send(text: string) {
    for (let bytes = encoder.encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(await this.connection.write(bytes));
    }
  }

  /** What came up to and with `end`; without `end`, up to the end of the stream. */
  async until(end?: string): Promise<string> {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const at = end === undefined ? -1 : this.#seen.indexOf(end);
      if (at >= 0) {
        const found = this.#seen.slice(0, at + end!.length);
        this.#seen = this.#seen.slice(found.length);
        return found;
      }
      const count = await this.connection.read(buffer).catch(() => null);
      if (count === null) {
        if (end !== undefined) throw new Error(`closed before ${JSON.stringify(end)}: ${this.#seen}`);
        return this.#seen;
      }
      this.#seen += decoder.decode(buffer.subarray(0, count));
    }
  }

  [Symbol.dispose]() {
    this.connection.close();
  }
}

/** The way to an engine of version 1.41. */
const engineAt = (socket: string): EngineEntry => ({
  socket,
  name: "the container engine",
  target: (target) => Promise.resolve(withinVersions(target, { oldest: "1.40", newest: "1.41" })),
});

/** An engine that answers one request and echoes what follows an upgrade. */
async function withEngine(run: (engine: EngineEntry, heads: string[]) => Promise<void>) {
  const dir = await Deno.makeTempDir();
  const socket = `${dir}/engine.sock`;
  const listener = Deno.listen({ transport: "unix", path: socket });
  const heads: string[] = [];
  const serve = async () => {
    for await (const connection of listener) {
      using engine = new Client(connection);
      const head = await engine.until("\r\n\r\n");
      heads.push(head);
      if (!head.includes("Upgrade:")) {
        await engine.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfrom the engine");
        continue;
      }
      await engine.send("HTTP/1.1 101 UPGRADED\r\n\r\n");
      await engine.send(`echo ${await engine.until()}`);
    }
  };
  const serving = serve();
  try {
    await run(engineAt(socket), heads);
  } finally {
    listener.close();
    await serving;
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("Control socket: a stream that fails ends without its last chunk, so that nobody takes it for complete", async () => {
  const failing = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encoder.encode("part")),
      pull: (controller) => controller.error(new Error("the leader is gone")),
    });
  const fetch = () => new Response(failing(), { headers: { "Transfer-Encoding": "chunked" } });
  await withSocket({ fetch }, async (connect) => {
    using client = await connect();
    await client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    const answer = await client.until();
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assert.doesNotMatch(answer.slice(8), /HTTP|\r\n0\r\n|gone/);
  });
});

Deno.test("Control socket: what is known of an answer is written as the answer itself would be, with the common headers", async () => {
  const text = '{"name":"Gerät"}', contentType = "application/json";
  const answer = () => new Response(text, { status: 201, headers: { "Content-Type": contentType } });
  const heads: string[] = [];
  for (const fetch of [answer, () => withText(answer(), { parts: [text], contentType })]) {
    await withSocket({ fetch, headers: { "Api-Version": "1.41" } }, async (connect) => {
      using client = await connect();
      await client.send("POST /services/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
      heads.push(await client.until("\r\n\r\n"));
      assert.equal(await client.until("}"), text);
      await client.send("HEAD /_ping HTTP/1.1\r\nConnection: close\r\n\r\n");
      heads.push(await client.until());
    });
  }
  const common = "content-type: application/json\r\nApi-Version: 1.41\r\n",
    length = "content-length: 17\r\n\r\n";
  const post = `HTTP/1.1 201 Created\r\n${common}${length}`;
  const head = `HTTP/1.1 201 Created\r\n${common}connection: close\r\n${length}`;
  assert.deepEqual(heads, [post, head, post, head]);
});

Deno.test("Control socket: much text goes in chunks, whole characters each, to clients that take them", async () => {
  const contentType = "application/json";
  const parts = Array.from({ length: 20_000 }, (_, nth) => `"Gerät 📦 ${nth}",`), text = parts.join("");
  const fetch = () => withText(new Response(text), { parts, contentType });
  await withSocket({ fetch }, async (connect, path) => {
    const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
    const answer = await globalThis.fetch(`${SOCKET_ORIGIN}/services`, { client });
    assert.equal(answer.headers.get("content-length"), null);
    assert.ok(await answer.text() === text);
    client.close();
    using old = await connect();
    await old.send("GET /services HTTP/1.0\r\n\r\n");
    const length = encoder.encode(text).length;
    assert.match(await old.until("\r\n\r\n"), new RegExp(`content-length: ${length}\r\n`));
    assert.ok((await old.until()).endsWith(' 19999",'));
  });
});

Deno.test("Control socket: headers are found whatever their case, and joined where a name comes twice", async () => {
  const fetch = ({ headers }: Request) =>
    Response.json([headers.get("X-NAME"), headers.get("x-none"), headers.has("host"), [
      ...new Headers(headers),
    ]]);
  await withSocket({ fetch }, async (connect) => {
    using client = await connect();
    await client.send("GET /a HTTP/1.1\r\nHost: h\r\nx-Name: 1\r\nX-name: 2\r\n\r\n");
    await client.until("\r\n\r\n");
    const all = [["host", "h"], ["x-name", "1, 2"]];
    assert.deepEqual(JSON.parse(await client.until("]]]")), ["1, 2", null, true, all]);
  });
});

Deno.test("Control socket: a request is what was sent, whatever is asked of it", async () => {
  const fetch = async (request: Request) => {
    const parts = [request.method, request.url, request.headers.get("x-name"), await request.text()];
    const bytes = new Uint8Array(await request.arrayBuffer()).length;
    const streamed = request.body ? await new Response(request.body).text() : "nothing";
    return Response.json([...parts, bytes, streamed]);
  };
  await withSocket({ fetch }, async (connect) => {
    using client = await connect();
    await client.send('PUT /a?b=%20c HTTP/1.1\r\nX-Name: Gerät\r\nContent-Length: 5\r\n\r\n"ä"x');
    await client.until("\r\n\r\n");
    const expected = ["PUT", "http://docker/a?b=%20c", "Gerät", '"ä"x', 5, '"ä"x'];
    assert.equal(await client.until("]"), JSON.stringify(expected));
    await client.send("GET /a HTTP/1.1\r\n\r\n");
    await client.until("\r\n\r\n");
    assert.equal(await client.until("]"), '["GET","http://docker/a",null,"",0,"nothing"]');
  });
});

Deno.test("Control socket: belongs to its owner and replaces what a dead process left", async () => {
  await withSocket({}, async (_connect, path) => {
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    await assert.rejects(
      () => serveControlSocket({ path, fetch: () => new Response() }),
      Deno.errors.AddrInUse,
    );
  });
});

Deno.test("Control socket: answers one request after another on a connection, pipelined ones too", async () => {
  await withSocket({}, async (connect) => {
    using client = await connect();
    await client.send(
      "POST /services/create HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /nodes HTTP/1.1\r\n\r\n",
    );
    assert.match(await client.until("[hello]"), /^HTTP\/1\.1 200 OK\r\n[^]*POST \/services\/create/);
    assert.match(await client.until("[]"), /GET \/nodes/);
    await client.send("GET http://docker/v1.41/tasks HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert.match(await client.until(), /connection: close[^]*GET \/v1\.41\/tasks \[\]$/);
  });
});

Deno.test("Control socket: takes a whole spec in the query", async () => {
  const fetch = (request: Request) => new Response(`${request.url.length}`);
  await withSocket({ fetch }, async (connect) => {
    using client = await connect();
    const target = `/services/create?spec=${"%7B".repeat(80_000)}`;
    await client.send(`GET ${target} HTTP/1.1\r\n\r\n`);
    await client.until(`\r\n\r\n${"http://docker".length + target.length}`);
  });
});

Deno.test("Control socket: takes a body in chunks, split anywhere, and says that it may come", async () => {
  await withSocket({}, async (connect) => {
    using client = await connect();
    await client.send(
      "POST /services/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    );
    assert.equal(await client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    for (const part of ["5;x=y\r\nhel", "lo\r", "\n6\r\n world\r\n0\r\n", "Trailer: x\r\n\r\n"]) {
      await client.send(part);
    }
    assert.match(await client.until("]"), /\[hello world\]/);
  });
});

Deno.test("Control socket: refuses what is no request, and bodies beyond the limit, and closes", async () => {
  await withSocket({}, async (connect) => {
    const bad: [string, RegExp][] = [
      ["nonsense\r\n\r\n", /400 Bad Request[^]*first line is not HTTP/],
      ["GET /nodes HTTP/1.1\r\nbroken\r\n\r\n", /400[^]*no valid name/],
      ["GET /nodes HTTP/1.1\r\nContent-Length: -1\r\n\r\n", /400[^]*Content-Length is -1/],
      [
        "POST /nodes HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        /400[^]*given twice/,
      ],
      ["POST /nodes HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", /400[^]*gzip is not known/],
      ["POST /nodes HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", /400[^]*no size/],
      [
        `POST /nodes HTTP/1.1\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`,
        /413 Content Too Large[^]*more than/,
      ],
      [`GET /nodes HTTP/1.1\r\nX: ${"x".repeat(300_000)}\r\n`, /400[^]*head exceeds/],
    ];
    for (const [request, answer] of bad) {
      using client = await connect();
      await client.send(request);
      assert.match(await client.until(), answer);
    }
  });
});

Deno.test("Control socket: ends a stream when the client leaves", async () => {
  const cancelled = Promise.withResolvers<void>();
  const fetch = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(encoder.encode("first")),
        cancel: () => cancelled.resolve(),
      }),
      { headers: { "transfer-encoding": "chunked" } },
    );
  await withSocket({ fetch }, async (connect) => {
    using client = await connect();
    await client.send("GET /events HTTP/1.1\r\n\r\n");
    assert.match(await client.until("5\r\nfirst\r\n"), /transfer-encoding: chunked/);
    await client.connection.closeWrite();
    await cancelled.promise;
  });
});

Deno.test("Control socket: one connection serves the swarm's requests, then hands over to the engine", async () => {
  await withEngine(async (engine, heads) => {
    await withSocket({ engine }, async (connect) => {
      using client = await connect();
      await client.send("GET /v1.41/nodes HTTP/1.1\r\n\r\n");
      await client.until("[]");
      await client.send("GET /v1.51/containers/json HTTP/1.1\r\nConnection: keep-alive\r\nX-A: b\r\n\r\n");
      assert.match(await client.until(), /from the engine$/);
      assert.equal(heads[0], "GET /v1.41/containers/json HTTP/1.1\r\nX-A: b\r\nConnection: close\r\n\r\n");
    });
  });
});

Deno.test("Control socket: an upgraded connection goes to the engine byte by byte, half-close included", async () => {
  await withEngine(async (engine, heads) => {
    await withSocket({ engine }, async (connect) => {
      using client = await connect();
      await client.send(
        "POST /v1.41/exec/x/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ",
      );
      await client.until("101 UPGRADED\r\n\r\n");
      await client.send("late");
      await client.connection.closeWrite();
      assert.equal(await client.until(), "echo early late");
      assert.match(heads[0]!, /Connection: Upgrade\r\nUpgrade: tcp/);
    });
  });
});

Deno.test("Control socket: says so when the engine cannot be reached", async () => {
  await withSocket({ engine: engineAt("/nonexistent/engine.sock") }, async (connect) => {
    using client = await connect();
    await client.send("GET /containers/json HTTP/1.1\r\n\r\n");
    assert.match(
      await client.until(),
      /503 Service Unavailable[^]*Cannot reach the container engine on this node/,
    );
  });
});

/** Runs `run` as if the process might have so few descriptors that the socket serves eight connections. */
async function withFewDescriptors(run: () => Promise<void>) {
  Deno.env.set("COVEY_DESCRIPTORS", "256");
  try {
    await run();
  } finally {
    Deno.env.delete("COVEY_DESCRIPTORS");
  }
}

Deno.test("Control socket: clients that are slow, or say nothing, lock nobody out", () =>
  withFewDescriptors(() =>
    withSocket({}, async (connect) => {
      const slow: Client[] = [];
      for (let i = 0; i < 40; i++) {
        slow.push(await connect());
        if (i % 3 === 0) await slow.at(-1)!.send("GET /x HTTP/1.1\r\nX-A: ");
        if (i % 3 === 1) await slow.at(-1)!.send("POST /x HTTP/1.1\r\nContent-Length: 999999\r\n\r\na");
      }
      using quick = await connect();
      await quick.send("GET /nodes HTTP/1.1\r\n\r\n");
      await quick.until("GET /nodes []");
      for (const client of slow) client.connection.close();
    })
  ));

Deno.test("Control socket: clients whose answer is under way keep their places", () =>
  withFewDescriptors(async () => {
    const answers: PromiseWithResolvers<Response>[] = [];
    const fetch = () => {
      answers.push(Promise.withResolvers<Response>());
      return answers.at(-1)!.promise;
    };
    await withSocket({ fetch }, async (connect) => {
      const clients: Client[] = [];
      for (let i = 0; i < 8; i++) {
        clients.push(await connect());
        await clients[i]!.send("GET /x HTTP/1.1\r\n\r\n");
        while (answers.length <= i) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      using late = await connect();
      assert.equal(await late.until(), "", "it is closed without an answer");
      for (const { resolve } of answers) resolve(new Response("done"));
      for (const client of clients) {
        await client.until("done");
        client.connection.close();
      }
    });
  }));
