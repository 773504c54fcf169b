import assert from "node:assert/strict";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { failure, fakeEngine } from "./fake_engine.ts";

/** Text as a stream that goes on until the client is gone. */
function stream(texts: string[], onGone?: () => void): Response {
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      },
      cancel: () => onGone?.(),
    }),
  );
}

Deno.test("Engine client: calls carry their query and body, and bring the parsed answer", async () => {
  const engine = await fakeEngine(async (request) => {
    const url = new URL(request.url);
    return Response.json({
      search: url.search,
      type: request.headers.get("content-type"),
      body: await request.text(),
    });
  });
  const client = new EngineClient(engine.socket);
  const query = { name: "a b&c=ü", left: undefined };
  assert.deepEqual(await client.call("POST", "/containers/create", { query, body: { A: "ü" } }), {
    search: "?name=a+b%26c%3D%C3%BC",
    type: "application/json",
    body: '{"A":"ü"}',
  });
  assert.deepEqual(await client.call("POST", "/containers/x/start"), { search: "", type: null, body: "" });
  client.close();
  await engine.close();
});

Deno.test("Engine client: a path cannot end the request's line", async () => {
  const engine = await fakeEngine((_request, route) => Response.json(route));
  const client = new EngineClient(engine.socket);
  const answer = await client.call<string>("GET", "/images/a HTTP/1.1\r\nX: y\r\n\r\nGET /json");
  assert.equal(answer, "GET /images/a%20HTTP/1.1X:%20yGET%20/json");
  await engine.close();
});

Deno.test("Engine client: errors keep the engine's words, and no body is no answer", async () => {
  const engine = await fakeEngine((_request, route) => {
    if (route.endsWith("/missing")) return failure(404, "No such thing");
    if (route.endsWith("/odd")) return new Response("<html>", { status: 500 });
    if (route.endsWith("/none")) return new Response(null, { status: 204 });
    return new Response("not json");
  });
  const client = new EngineClient(engine.socket);
  await assert.rejects(client.call("GET", "/missing"), { code: "not_found", message: "No such thing" });
  await assert.rejects(client.call("GET", "/odd"), { code: "internal", message: "<html>" });
  await assert.rejects(client.call("GET", "/text"), {
    code: "internal",
    message: /answer to \/text: no JSON/,
  });
  assert.equal(await client.call("GET", "/none"), undefined);
  await engine.close();
});

Deno.test("Engine client: a stream gives objects as they come, and ends its connection when it is left", async () => {
  const gone = Promise.withResolvers<void>();
  const engine = await fakeEngine(() => stream(['{"a":1}\n{"a"', ":2}\n\n"], gone.resolve));
  const client = new EngineClient(engine.socket);
  let opened = 0;
  const found: unknown[] = [];
  for await (const each of client.stream("GET", "/events", { onOpen: () => opened++ })) {
    found.push(each);
    if (found.length === 2) break;
  }
  assert.deepEqual([found, opened], [[{ a: 1 }, { a: 2 }], 1]);
  await gone.promise;
  await engine.close();
});

Deno.test("Engine client: aborting ends a stream that waits, with the signal's reason; closing ends it too", async () => {
  const engine = await fakeEngine(() => stream(["{}\n"]));
  const client = new EngineClient(engine.socket);
  const abort = new AbortController();
  const events = client.stream("GET", "/events", { signal: abort.signal });
  await events.next();
  const waiting = events.next();
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(client.call("GET", "/events", { signal: abort.signal }), /enough/);
  const other = client.stream("GET", "/events");
  await other.next();
  const pending = other.next();
  client.close();
  await assert.rejects(pending, { code: "unavailable" });
  await engine.close();
});

Deno.test("Engine client: an engine that dies while it answers is a passing condition", async () => {
  const dir = await Deno.makeTempDir({ prefix: "covey-engine-" });
  const socket = `${dir}/docker.sock`;
  const listener = Deno.listen({ transport: "unix", path: socket });
  const client = new EngineClient(socket);
  const call = client.call("GET", "/info");
  const connection = await listener.accept();
  await connection.read(new Uint8Array(1000));
  await connection.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"));
  connection.close();
  await assert.rejects(call, {
    code: "unavailable",
    retryable: true,
    message:
      `Cannot reach the Docker Engine at ${socket}: GET /info: the connection ended in the middle of the answer`,
  });
  listener.close();
  await Deno.remove(dir, { recursive: true });
});
