/** Wire messages by which a manager hands a request of the control API to the leader. */
import { CoveyError } from "../../api/errors.ts";
import { type Caller, checkCaller } from "../control/caller.ts";

/** Server stream, managers only: {@linkcode ControlRequest} to one {@linkcode ControlHead} and, as it says, bytes. */
export const CONTROL_METHOD = "control.request";

/**
 * Bytes of the largest body that is handed on: with the longest head it fits a frame of the transport. No object can be
 * larger than a third of it (`MAX_ENTRY_BYTES`).
 */
export const MAX_FORWARDED_BODY_BYTES = 4 * 1024 * 1024 - 384 * 1024;
/** Bytes of one piece of a response: a quarter of a stream's window. */
export const MAX_PIECE_BYTES = 64 * 1024;

/** A request as the client sent it, without what concerns its connection. */
export interface ControlRequest {
  Method: string;
  /** Path with its version prefix and query. */
  Path: string;
  Headers: [name: string, value: string][];
  Body: Uint8Array<ArrayBuffer>;
  /** Who asked the manager that hands it on, which has found out. */
  Caller: Caller;
}

/** First item of the answer; the other items are pieces of the body. */
export interface ControlHead {
  Status: number;
  Headers: [name: string, value: string][];
  /** The body, if it is one piece or none. */
  Body?: Uint8Array<ArrayBuffer>;
}

/** Checks what another manager sent; one that names no caller may nothing. Throws `invalid_argument`. */
export function checkControlRequest(value: unknown): ControlRequest {
  const { Method, Path, Headers, Body, Caller } = (value ?? {}) as Partial<ControlRequest>;
  const known = typeof Method === "string" && typeof Path === "string" && Path.startsWith("/") &&
    Array.isArray(Headers) && Body instanceof Uint8Array;
  if (known) return { Method, Path, Headers, Body, Caller: checkCaller(Caller) };
  throw new CoveyError("invalid_argument", "Cannot take the request: it is not one of the control API");
}
