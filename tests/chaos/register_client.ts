import { type ControlAnswer, controlRequest } from "./control_request.ts";
import type { Reading, RegisterInput, RegisterOutput } from "./register.ts";

/** Longer than a manager lets a request wait for a leader. */
export const REQUEST_TIMEOUT_MS = 8_000;
/** The label that holds the value. */
const LABEL = "value";

/**
 * What became of an operation. `failed`: it certainly had no effect. `unknown`: nobody can say. `unexpected`: an answer that no
 * manager should give; its effect is unknown too.
 */
export type RegisterResult =
  | { kind: "ok"; output: RegisterOutput }
  | { kind: "failed" | "unknown" | "unexpected"; reason: string };

/** Makes a request of the control API at some manager. */
export type SendRequest = (
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
) => Promise<ControlAnswer>;

/** Carries an operation on the service named `key` out at the manager that serves `socket`. */
export function operate(socket: string, key: string, input: RegisterInput): Promise<RegisterResult> {
  const request: SendRequest = (method, path, body) =>
    controlRequest(socket, method, path, body, REQUEST_TIMEOUT_MS);
  return carryOut(request, key, input);
}

/** Carries an operation on the service named `key` out by a request. */
export async function carryOut(
  request: SendRequest,
  key: string,
  input: RegisterInput,
): Promise<RegisterResult> {
  return judge(input, await send(request, key, input));
}

function send(request: SendRequest, key: string, input: RegisterInput): Promise<ControlAnswer> {
  const own = `/services/${key}`;
  switch (input.kind) {
    case "create":
      return request("POST", "/services/create", spec(key, input.value));
    case "read":
      return request("GET", own);
    case "update":
      return request("POST", `${own}/update?version=${input.version}`, spec(key, input.value));
    case "remove":
      return request("DELETE", own);
  }
}

/** A service without tasks: only the clients write to it. */
function spec(name: string, value: string) {
  return {
    Name: name,
    Labels: { [LABEL]: value },
    TaskTemplate: { ContainerSpec: { Image: "busybox:local" } },
    Mode: { Replicated: { Replicas: 0 } },
  };
}

/** Says what an answer means for the history. */
export function judge(input: RegisterInput, answer: ControlAnswer): RegisterResult {
  if (answer.kind === "not_sent") return { kind: "failed", reason: "not connected" };
  if (answer.kind === "broken") return { kind: "unknown", reason: "no answer" };
  const { status, body } = answer;
  const output = outputOf(input, status, body);
  if (output !== undefined) return { kind: "ok", output };
  const reason = `${status} ${body.trim()}`;
  // A manager that does not know what became of a request says 500; 503 promises that nothing was done.
  if (status === 503) return { kind: "failed", reason };
  return { kind: status === 500 ? "unknown" : "unexpected", reason };
}

function outputOf({ kind }: RegisterInput, status: number, body: string): RegisterOutput | undefined {
  if (status === 404 && kind !== "create") return "absent";
  if (status === 201 && kind === "create") return "created";
  if (status === 409 && kind === "create") return "exists";
  if (status === 200 && kind === "update") return "updated";
  if (status === 500 && kind === "update" && body.includes("update out of sequence")) return "stale";
  if (status === 200 && kind === "remove") return "removed";
  return status === 200 && kind === "read" ? reading(body) : undefined;
}

function reading(body: string): Reading {
  const { Version, Spec } = JSON.parse(body) as {
    Version: { Index: number };
    Spec: { Labels: Record<string, string> };
  };
  return { value: Spec.Labels[LABEL] ?? "", version: Version.Index };
}
