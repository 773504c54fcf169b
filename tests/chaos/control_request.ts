/** One request to a control API's Unix socket, on a connection of its own, so that what happened to it is known exactly. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";

const API = "/v1.41";

/** `not_sent`: nobody was there to connect to. `broken`: the connection or the time ended before the whole answer was there. */
export type ControlAnswer =
  | { kind: "answer"; status: number; body: string }
  | { kind: "not_sent" }
  | { kind: "broken" };

/** Sends one request and waits at most `timeoutMs`. Never rejects. */
export function controlRequest(
  socket: string,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body: unknown,
  timeoutMs: number,
): Promise<ControlAnswer> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request({
      socketPath: socket,
      method,
      path: API + path,
      agent: false,
      headers: text === undefined ? {} : {
        "content-type": "application/json",
        "content-length": new TextEncoder().encode(text).length,
      },
    });
    const end = (answer: ControlAnswer) => {
      clearTimeout(timer);
      outgoing.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end({ kind: "broken" }), timeoutMs);
    outgoing.on("error", (error) => end({ kind: isUnsent(error) ? "not_sent" : "broken" }));
    outgoing.on("response", (response) => void readAnswer(response).then(end));
    outgoing.on("close", () => end({ kind: "broken" }));
    send(outgoing, text);
  });
}

function send(outgoing: ClientRequest, text: string | undefined): void {
  if (text === undefined) outgoing.end();
  else outgoing.end(text);
}

async function readAnswer(response: IncomingMessage): Promise<ControlAnswer> {
  let body = "";
  try {
    for await (const chunk of response.setEncoding("utf8")) body += chunk;
  } catch {
    return { kind: "broken" };
  }
  if (!response.complete) return { kind: "broken" };
  return { kind: "answer", status: response.statusCode ?? 0, body };
}

/** Errors of connecting; any other may come after the request was out. */
function isUnsent(error: NodeJS.ErrnoException): boolean {
  return error.code === "ECONNREFUSED" || error.code === "ENOENT" || error.code === "EAGAIN";
}
