import type { Model, Operation } from "./operation.ts";

/** Operations of a register of numbers, 0 at first. */
export type RegisterInput =
  | { kind: "read" }
  | { kind: "write"; value: number }
  | { kind: "cas"; from: number; to: number };
/** A number that was read, `true` of a write, whether a compare-and-set did it. */
export type RegisterOutput = number | boolean;

/** The register of the literature. */
export const registerModel: Model<RegisterInput, RegisterOutput, number> = {
  initial: 0,
  step(state, input, output) {
    switch (input.kind) {
      case "read":
        return output === undefined || output === state ? state : undefined;
      case "write":
        return input.value;
      case "cas":
        if (output === false) return state === input.from ? undefined : state;
        return state === input.from ? input.to : undefined;
    }
  },
  fingerprint: String,
  isPassive: ({ kind }, output) => kind === "read" || kind === "cas" && output === false,
  describe: (input, output) => `${JSON.stringify(input)} -> ${output ?? "?"}`,
};

/** Tries every order of every choice of operations: slow, and plainly right. */
export function checkNaively<I, O, S>(history: readonly Operation<I, O>[], model: Model<I, O, S>): boolean {
  const binding = history.filter(({ outcome }) => outcome !== "failed");
  const place = (state: S, left: Operation<I, O>[]): boolean => {
    if (left.every(({ outcome }) => outcome === "unknown")) return true;
    return left.some((operation) => {
      const tooEarly = left.some(({ outcome, end }) => outcome === "ok" && end < operation.start);
      const after = tooEarly ? undefined : model.step(state, operation.input, operation.output);
      return after !== undefined && place(after, left.filter((other) => other !== operation));
    });
  };
  return place(model.initial, binding);
}
