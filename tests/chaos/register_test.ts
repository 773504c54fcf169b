import { strictEqual } from "node:assert/strict";
import { checkLinearizability } from "../support/linearizability/mod.ts";
import type { ControlAnswer } from "./control_request.ts";
import {
  type RegisterInput,
  registerModel,
  type RegisterOperation,
  type RegisterOutput,
} from "./register.ts";
import { judge } from "./register_client.ts";

const create = (value: string): RegisterInput => ({ kind: "create", value });
const update = (version: number, value: string): RegisterInput => ({ kind: "update", version, value });
const read: RegisterInput = { kind: "read" };
const remove: RegisterInput = { kind: "remove" };
const at = (value: string, version: number): RegisterOutput => ({ value, version });

/** One operation after another; without an output its outcome is unknown. */
function verdict(...calls: [RegisterInput, RegisterOutput?][]): string {
  const history = calls.map(([input, output], index): RegisterOperation => ({
    key: "k",
    client: 0,
    input,
    outcome: output === undefined ? "unknown" : "ok",
    ...(output !== undefined && { output }),
    start: index * 10,
    end: index * 10 + 5,
  }));
  return checkLinearizability(history, registerModel).verdict;
}

const CASES: [string, string, [RegisterInput, RegisterOutput?][]][] = [
  ["a life of a service", "linearizable", [
    [read, "absent"],
    [update(3, "x"), "absent"],
    [create("a"), "created"],
    [create("b"), "exists"],
    [read, at("a", 7)],
    [update(7, "c"), "updated"],
    [update(7, "d"), "stale"],
    [read, at("c", 9)],
    [remove, "removed"],
    [remove, "absent"],
  ]],
  ["an acknowledged create that is gone", "violation", [[create("a"), "created"], [read, "absent"]]],
  ["a removed service that is back", "violation", [
    [create("a"), "created"],
    [remove, "removed"],
    [create("b"), "exists"],
  ]],
  ["two updates of one version", "violation", [
    [create("a"), "created"],
    [read, at("a", 7)],
    [update(7, "b"), "updated"],
    [update(7, "c"), "updated"],
  ]],
  ["a version that changes by itself", "violation", [
    [create("a"), "created"],
    [read, at("a", 7)],
    [read, at("a", 8)],
  ]],
  ["a refusal as stale of the present version", "violation", [
    [create("a"), "created"],
    [read, at("a", 7)],
    [update(7, "b"), "stale"],
    [read, at("a", 7)],
  ]],
  ["an unknown update that shows later", "linearizable", [
    [create("a"), "created"],
    [read, at("a", 7)],
    [update(7, "b")],
    [read, at("a", 7)],
    [read, at("b", 9)],
  ]],
  ["an unknown update that shows although its version was over", "violation", [
    [create("a"), "created"],
    [read, at("a", 7)],
    [update(7, "b")],
    [update(7, "c"), "updated"],
    [read, at("b", 9)],
  ]],
];

for (const [name, expected, calls] of CASES) {
  Deno.test(`Register: ${name}: ${expected}`, () => strictEqual(verdict(...calls), expected));
}

Deno.test("Register: a refused write that shows all the same is a violation", () => {
  const operation = (start: number, rest: Pick<RegisterOperation, "input" | "outcome" | "output">) => ({
    key: "k",
    client: 0,
    start,
    end: start + 5,
    ...rest,
  });
  const refused = operation(0, { input: create("a"), outcome: "failed" });
  const seen = operation(10, { input: read, outcome: "ok", output: at("a", 7) });
  strictEqual(checkLinearizability([refused, seen], registerModel).verdict, "violation");
});

Deno.test("Register: only what is certain of an answer goes into the history", () => {
  const answer = (status: number, body = ""): ControlAnswer => ({ kind: "answer", status, body });
  const kind = (input: RegisterInput, given: ControlAnswer) => {
    const result = judge(input, given);
    return result.kind === "ok" ? result.output : result.kind;
  };
  strictEqual(kind(create("a"), { kind: "not_sent" }), "failed");
  strictEqual(kind(create("a"), { kind: "broken" }), "unknown");
  strictEqual(kind(create("a"), answer(503)), "failed");
  strictEqual(kind(create("a"), answer(500)), "unknown");
  strictEqual(kind(create("a"), answer(404)), "unexpected");
  strictEqual(kind(create("a"), answer(409)), "exists");
  strictEqual(kind(update(1, "b"), answer(500, "rpc error: … update out of sequence")), "stale");
  strictEqual(kind(update(1, "b"), answer(400)), "unexpected");
  strictEqual(kind(remove, answer(200)), "removed");
  const body = JSON.stringify({ Version: { Index: 4 }, Spec: { Labels: { value: "v" } } });
  strictEqual(JSON.stringify(kind(read, answer(200, body))), '{"value":"v","version":4}');
});
