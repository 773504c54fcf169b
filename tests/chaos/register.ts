/** A service of the control API seen as a register: its label is the value, its version the lock. */
import type { Model, Operation } from "../support/linearizability/mod.ts";

/** What clients do to a key. Values are never written twice. */
export type RegisterInput =
  | { kind: "create"; value: string }
  | { kind: "read" }
  /** Replaces the value if the version is still `version`. */
  | { kind: "update"; version: number; value: string }
  | { kind: "remove" };

/** What was read. */
export interface Reading {
  value: string;
  version: number;
}

/** The answers that are possible: to `create`, `update` (`stale`: another version), `remove`, and `read`. */
export type RegisterOutput = "created" | "exists" | "updated" | "stale" | "removed" | "absent" | Reading;

/** An operation in a history of registers. */
export type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

/**
 * A service, or none. An update's answer does not say the new version, so that it is known from the first read on only; until
 * then it is just not any that a client knows of.
 */
type RegisterState = { value: string; version: number | undefined } | "absent";

/** How a service of a cluster behaves whose managers act as one. */
export const registerModel: Model<RegisterInput, RegisterOutput, RegisterState> = {
  initial: "absent",
  step(state, input, output) {
    switch (input.kind) {
      case "create":
        if (output === "exists") return state === "absent" ? undefined : state;
        return state === "absent" ? { value: input.value, version: undefined } : undefined;
      case "read":
        return stepRead(state, output as Reading | "absent");
      case "update":
        if (output === "absent") return state === "absent" ? state : undefined;
        if (state === "absent") return undefined;
        if (output === "stale") return state.version === input.version ? undefined : state;
        return state.version === input.version ? { value: input.value, version: undefined } : undefined;
      case "remove":
        if (output === "absent") return state === "absent" ? state : undefined;
        return state === "absent" ? undefined : "absent";
    }
  },
  fingerprint: (state) => state === "absent" ? state : `${state.value}@${state.version ?? "?"}`,
  isPassive: ({ kind }, output) =>
    output === undefined ? kind === "read" : output === "exists" || output === "stale" || output === "absent",
  describe({ kind, ...rest }, output) {
    const answer = typeof output === "object" ? `${output.value}@${output.version}` : output ?? "?";
    return `${kind} ${Object.values(rest).join(" ")} -> ${answer}`;
  },
};

function stepRead(state: RegisterState, output: Reading | "absent"): RegisterState | undefined {
  if (output === "absent" || state === "absent") return output === state ? state : undefined;
  if (output.value !== state.value) return undefined;
  return state.version === undefined || state.version === output.version ? output : undefined;
}

/** True if the operation is known to have changed its key. */
export function isAcknowledgedWrite({ output }: RegisterOperation): boolean {
  return output === "created" || output === "updated" || output === "removed";
}
