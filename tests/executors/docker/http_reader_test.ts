import assert from "node:assert/strict";
import fc from "fast-check";
import { type HttpHead, HttpReader } from "../../../executors/docker/http_reader.ts";

const encoder = new TextEncoder();

/** Gives `bytes` in pieces that end at `cuts`. */
function pieces(bytes: Uint8Array, cuts: number[] = []) {
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) =>
    a - b
  );
  let at = 0;
  return {
    read(into: Uint8Array): Promise<number | null> {
      const end = ends.find((each) => each > at);
      if (end === undefined) return Promise.resolve(null);
      const count = Math.min(end - at, into.length);
      into.set(bytes.subarray(at, at + count));
      at += count;
      return Promise.resolve(count);
    },
  };
}

async function read(
  bytes: Uint8Array | string,
  cuts: number[] = [],
): Promise<{ head: HttpHead; text: string }> {
  const reader = new HttpReader(pieces(typeof bytes === "string" ? encoder.encode(bytes) : bytes, cuts));
  const head = await reader.head();
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of reader.body(head)) text += decoder.decode(piece, { stream: true });
  return { head, text };
}

function refuses(answer: string, problem: RegExp): Promise<void> {
  return assert.rejects(read(answer), (error: Error) => problem.test(error.message));
}

/** `text` in chunks of at most `size` bytes. */
function chunked(text: string, size: number): Uint8Array {
  const bytes = encoder.encode(text), parts: number[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    parts.push(...encoder.encode(`${chunk.length.toString(16)};x=y\r\n`), ...chunk, 13, 10);
  }
  const head = encoder.encode("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  return Uint8Array.from([...head, ...parts, ...encoder.encode("0\r\nTrailer: a\r\n\r\n")]);
}

Deno.test("HTTP: a body in chunks is read whole, whatever pieces it arrives in", async () => {
  const cuts = fc.array(fc.nat(), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.integer({ min: 1, max: 50 }),
      cuts,
      async (text, size, at) => {
        assert.deepEqual(await read(chunked(text, size), at), {
          head: { status: 200, body: "chunked" },
          text,
        });
      },
    ),
  );
});

Deno.test("HTTP: a body of a given length ends there, one of none with the connection", async () => {
  const head = "HTTP/1.1 404 Not Found\r\ncontent-length:  5 \r\n\r\n";
  assert.deepEqual(await read(`${head}hellomore`), { head: { status: 404, body: 5 }, text: "hello" });
  const long = "x".repeat(20_000);
  const rest = await read(`HTTP/1.0 200 OK\r\n\r\n${long}`, [1, 5000]);
  assert.deepEqual(rest, { head: { status: 200, body: "until end" }, text: long });
});

Deno.test("HTTP: interim answers are passed over, and 204 and 304 have no body", async () => {
  const answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
  assert.deepEqual(await read(answer), { head: { status: 204, body: 0 }, text: "" });
  assert.equal((await read("HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n")).text, "");
});

Deno.test("HTTP: an answer that is cut short is an error, not a short answer", async () => {
  await refuses("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", /ended in the middle/);
  await refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell", /ended in the middle/);
  await refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", /ended in the middle/);
  await refuses("HTTP/1.1 200 OK\r\n", /ended in the middle/);
  await refuses("", /ended in the middle/);
});

Deno.test("HTTP: what is no proper answer is refused for its own reason", async () => {
  await refuses("SSH-2.0-OpenSSH\r\n", /no HTTP/);
  await refuses("HTTP/1.1 2000 OK\r\n\r\n", /no HTTP/);
  await refuses("HTTP/1.1 200 OK\r\nno field\r\n\r\n", /malformed/);
  await refuses("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", /length is -1/);
  await refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", /encoded as gzip/);
  const chunks = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n";
  await refuses(`${chunks}x\r\n`, /no size/);
  await refuses(`${chunks}fffffffff\r\n`, /no size/);
  await refuses(`${chunks}1\r\nabc\r\n`, /longer than its size/);
  await refuses(`HTTP/1.1 200 OK\r\nA: ${"a".repeat(20_000)}\r\n\r\n`, /exceeds 16384 bytes/);
  await refuses(`HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(5000)}\r\n`, /exceeds 16384 bytes/);
  await refuses(`HTTP/1.1 100 Continue\r\n\r\n`.repeat(2000), /exceeds 16384 bytes/);
});

Deno.test("HTTP: random bytes give an answer or an error", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.boolean(), async (bytes, asBody) => {
      const head = encoder.encode(
        asBody ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : "HTTP/1.1 ",
      );
      await read(Uint8Array.from([...head, ...bytes])).catch((error) =>
        assert.equal(error.constructor, Error)
      );
    }),
    { numRuns: 500 },
  );
});
