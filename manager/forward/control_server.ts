/** The leader's side of the control API: answers what followers hand on. */
import { CoveyError } from "../../api/errors.ts";
import type { CallContext, Method } from "../../transport/mod.ts";
import {
  checkControlRequest,
  type ControlHead,
  type ControlRequest,
  MAX_PIECE_BYTES,
} from "./control_messages.ts";
import type { Caller } from "../control/caller.ts";
import type { LeaderLink } from "./leader_link.ts";
import { handedToFollower } from "../consensus/mod.ts";

/** Answers a request here and nowhere else. */
export type Answer = (request: Request, caller: Caller) => Response | Promise<Response>;

/** The method to offer as `CONTROL_METHOD`. */
export function controlMethod(answer: Answer, link: LeaderLink): Method {
  return {
    kind: "server_stream",
    access: "manager",
    handler: (request, caller) => serve(checkControlRequest(request), caller, answer, link),
  };
}

async function* serve(
  request: ControlRequest,
  { signal }: CallContext,
  answer: Answer,
  link: LeaderLink,
): AsyncGenerator<ControlHead | Uint8Array, void> {
  if (!link.isLeader) throw handedToFollower();
  const response = await answer(toRequest(request), request.Caller);
  const head = { Status: response.status, Headers: [...response.headers] };
  if (response.headers.has("transfer-encoding") && response.body) {
    yield head;
    return yield* streamed(response.body, signal);
  }
  const body = new Uint8Array(await response.arrayBuffer());
  if (body.length <= MAX_PIECE_BYTES) return void (yield { ...head, Body: body });
  yield head;
  yield* pieces(body);
}

function toRequest({ Method: method, Path, Headers: headers, Body: body }: ControlRequest): Request {
  const hasBody = body.length > 0 && method !== "GET" && method !== "HEAD";
  try {
    return new Request(`http://docker${Path}`, { method, headers, ...(hasBody && { body }) });
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CoveyError("invalid_argument", `Cannot take the request: ${why}`, { cause });
  }
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) yield bytes.subarray(at, at + MAX_PIECE_BYTES);
}

/** What comes of `body` until the caller leaves, who may do so while nothing comes. */
async function* streamed(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  const leave = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield* pieces(next.value);
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}
