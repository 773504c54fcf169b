/**
 * One request to a control API's Unix socket, on a connection of its own, so that what happened to it is known exactly.
 * Not by `node:http`: over a Unix socket, Deno 2.9.5 closes its descriptor twice there, which in a program with several
 * threads is sooner or later somebody else's.
 */
import { HttpReader } from "../../executors/docker/http_reader.ts";

const API = "/v1.41";

/** `not_sent`: nobody was there to connect to. `broken`: the connection or the time ended before the whole answer was there. */
export type ControlAnswer =
  | { kind: "answer"; status: number; body: string }
  | { kind: "not_sent" }
  | { kind: "broken" };

/** Sends one request and waits at most `timeoutMs`. Never rejects. */
export async function controlRequest(
  socket: string,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body: unknown,
  timeoutMs: number,
): Promise<ControlAnswer> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path: socket });
  } catch {
    return { kind: "not_sent" };
  }
  let open = true;
  const close = () => {
    if (open) connection.close();
    open = false;
  };
  const timer = setTimeout(close, timeoutMs);
  try {
    await send(connection, requestBytes(method, path, body));
    return await readAnswer(connection);
  } catch {
    return { kind: "broken" };
  } finally {
    clearTimeout(timer);
    close();
  }
}

function requestBytes(method: string, path: string, body: unknown): Uint8Array {
  const encoder = new TextEncoder();
  const text = body === undefined ? "" : JSON.stringify(body);
  const fields = body === undefined ? [] : [
    "Content-Type: application/json",
    `Content-Length: ${encoder.encode(text).length}`,
  ];
  const head = [`${method} ${API}${path} HTTP/1.1`, "Host: docker", "Connection: close", ...fields, "", ""];
  return encoder.encode(head.join("\r\n") + text);
}

async function send(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Throws if the connection ends before the answer does. */
async function readAnswer(connection: Deno.Conn): Promise<ControlAnswer> {
  const reader = new HttpReader(connection);
  const head = await reader.head();
  const decoder = new TextDecoder();
  let body = "";
  for await (const piece of reader.body(head)) body += decoder.decode(piece, { stream: true });
  return { kind: "answer", status: head.status, body };
}
