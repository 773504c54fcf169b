/** HTTP/1.1 on loopback, with the parts of which the control API's socket is made. */
import { BodyBudget } from "../../manager/http/front/body_budget.ts";
import { MAX_BODY_BYTES, readBody } from "../../manager/http/front/request_body.ts";
import { readHead } from "../../manager/http/front/request_head.ts";
import { writeAll } from "../../manager/http/front/response_writer.ts";
import { SocketReader } from "../../manager/http/front/socket_reader.ts";

const encoder = new TextEncoder();
const bodies = new BodyBudget();

/** Serves until the process ends; `answer` gets a request's target and body, and says what the answer's JSON is. */
export async function servePuts(
  port: number,
  answer: (target: string, body: Uint8Array<ArrayBuffer>) => unknown,
): Promise<void> {
  for await (const connection of Deno.listen({ hostname: "127.0.0.1", port })) {
    connection.setNoDelay(true);
    void serve(connection, answer).catch(() => {}).finally(() => connection.close());
  }
}

async function serve(connection: Deno.TcpConn, answer: Parameters<typeof servePuts>[1]): Promise<void> {
  const reader = new SocketReader(connection);
  for (let head = await readHead(reader); head; head = await readHead(reader)) {
    const buffer = bodies.buffer(MAX_BODY_BYTES, () => connection.close());
    const body = await readBody(reader, head, buffer);
    let status = "200 OK", value: unknown;
    try {
      value = await answer(head.target, body);
    } catch (thrown) {
      [status, value] = ["503 Service Unavailable", { message: String(thrown) }];
    }
    const text = encoder.encode(JSON.stringify(value));
    const start =
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`;
    const message = new Uint8Array(start.length + text.length);
    encoder.encodeInto(start, message);
    message.set(text, start.length);
    await writeAll(connection, message);
    buffer.release();
  }
}
