import { deepStrictEqual, rejects } from "node:assert/strict";
import { readHead } from "../../../../manager/http/front/request_head.ts";
import { SocketReader } from "../../../../manager/http/front/socket_reader.ts";

/** Reads all heads of what a client sends. */
async function heads(text: string) {
  const bytes = new TextEncoder().encode(text);
  let sent = 0;
  const reader = new SocketReader({
    read(into) {
      const piece = bytes.subarray(sent, sent + into.length);
      into.set(piece);
      sent += piece.length;
      return Promise.resolve(piece.length === 0 ? null : piece.length);
    },
  });
  const read = [];
  for (let head = await readHead(reader); head !== undefined; head = await readHead(reader)) read.push(head);
  return read;
}

Deno.test("Request head: requests with the same headers, and then with others, are each their own", async () => {
  const like = (method: string, target: string, ...more: string[]) =>
    [`${method} ${target} HTTP/1.1`, "Host: docker", ...more, "", ""].join("\r\n");
  const found = await heads(
    like("GET", "/a") + like("GET", "/b") + like("POST", "/c", "Content-Length: 0", "Connection: close") +
      like("POST", "/d", "Content-Length: 0", "Connection: close") + like("GET", "/e") +
      like("GET", "/f").replace("HTTP/1.1", "HTTP/1.0") + "GET /g HTTP/1.1\r\n\r\n",
  );
  deepStrictEqual(
    found.map(({ method, target, headers, keepAlive }) =>
      `${method} ${target} ${headers.map(([name]) => name)} ${keepAlive}`
    ),
    [
      "GET /a Host true",
      "GET /b Host true",
      "POST /c Host,Content-Length,Connection false",
      "POST /d Host,Content-Length,Connection false",
      "GET /e Host true",
      "GET /f Host false",
      "GET /g  true",
    ],
  );
});

Deno.test("Request head: what was malformed once stays so", async () => {
  for (let again = 0; again < 2; again++) {
    for (const bad of ["no header", "Content-Length: 1\r\nContent-Length: 1", "Transfer-Encoding: gzip"]) {
      await rejects(heads(`GET / HTTP/1.1\r\n${bad}\r\n\r\n`), { code: "invalid_argument" }, bad);
    }
  }
});
