import { match, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { checkLinearizability, explain, HistoryRecorder, type Operation } from "./mod.ts";
import { checkNaively, type RegisterInput, registerModel, type RegisterOutput } from "./plain_register.ts";

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

const write = (value: number): RegisterInput => ({ kind: "write", value });
const read: RegisterInput = { kind: "read" };
const cas = (from: number, to: number): RegisterInput => ({ kind: "cas", from, to });

/** An operation from `start` to `end`; without an output its outcome is unknown. */
function op(start: number, end: number, input: RegisterInput, output?: RegisterOutput): RegisterOperation {
  const outcome = output === undefined ? "unknown" as const : "ok" as const;
  return { key: "x", client: start, input, outcome, start, end, ...(output !== undefined && { output }) };
}

function verdict(history: RegisterOperation[]): string {
  return checkLinearizability(history, registerModel).verdict;
}

const CASES: [string, RegisterOperation[], "linearizable" | "violation"][] = [
  ["an empty history is linearizable", [], "linearizable"],
  // Porcupine's own example.
  [
    "overlapping reads may see the write or not",
    [op(0, 100, write(100), true), op(25, 75, read, 100), op(30, 60, read, 0)],
    "linearizable",
  ],
  [
    "a read that began after another had seen the write sees it too",
    [op(0, 100, write(200), true), op(10, 30, read, 200), op(40, 90, read, 0)],
    "violation",
  ],
  // A deposed leader that answers from its own memory (the 2014 etcd and Consul analyses).
  [
    "a stale read after an acknowledged write is a violation",
    [op(0, 10, write(1), true), op(20, 30, write(2), true), op(40, 50, read, 1)],
    "violation",
  ],
  [
    "two compare-and-sets from one value cannot both succeed (lost update)",
    [op(0, 10, cas(0, 1), true), op(5, 15, cas(0, 2), true)],
    "violation",
  ],
  [
    "an acknowledged write that nobody ever sees is a violation",
    [op(0, 10, write(7), true), op(20, 30, read, 0)],
    "violation",
  ],
  ["a value that nobody wrote is a violation", [op(0, 10, read, 9)], "violation"],
  [
    "an unknown write may show later",
    [op(0, 10, write(1)), op(20, 30, read, 0), op(40, 50, read, 1), op(60, 70, read, 1)],
    "linearizable",
  ],
  ["an unknown write may never show", [op(0, 10, write(1)), op(20, 30, read, 0)], "linearizable"],
  [
    "an unknown write happens at most once",
    [op(0, 10, write(1)), op(20, 30, read, 1), op(40, 50, write(2), true), op(60, 70, read, 1)],
    "violation",
  ],
  ["an unknown write has no effect before it began", [op(0, 10, read, 1), op(20, 30, write(1))], "violation"],
  [
    "a compare-and-set may be refused because of an unknown write",
    [op(0, 10, write(3)), op(20, 30, cas(0, 1), false), op(40, 50, read, 3)],
    "linearizable",
  ],
  [
    "a refused compare-and-set needs a reason",
    [op(0, 10, cas(0, 1), false), op(20, 30, read, 0)],
    "violation",
  ],
  ["an unknown read says nothing", [op(0, 10, read), op(20, 30, read, 0)], "linearizable"],
  [
    "operations that touch at one instant overlap",
    [op(0, 10, write(1), true), op(10, 20, read, 0)],
    "linearizable",
  ],
];

for (const [name, history, expected] of CASES) {
  Deno.test(`Linearizability: ${name}`, () => {
    strictEqual(verdict(history), expected);
    strictEqual(checkNaively(history, registerModel), expected === "linearizable");
  });
}

Deno.test("Linearizability: a failed write must not show", () => {
  const failed: RegisterOperation = { ...op(0, 10, write(1)), outcome: "failed" };
  strictEqual(verdict([failed, op(20, 30, read, 0)]), "linearizable");
  strictEqual(verdict([failed, op(20, 30, read, 1)]), "violation");
});

Deno.test("Linearizability: keys are checked apart, and the offending one is named", () => {
  const good = [op(0, 10, write(1), true), op(20, 30, read, 1)].map((each) => ({ ...each, key: "good" }));
  const bad = [op(0, 10, write(1), true), op(20, 30, read, 0)].map((each) => ({ ...each, key: "bad" }));
  const { verdict, keys, problems } = checkLinearizability([...good, ...bad], registerModel);
  strictEqual(verdict, "violation");
  strictEqual(keys, 2);
  strictEqual(problems.map(({ key }) => key).join(), "bad");
});

Deno.test("Linearizability: a violation is explained in time order, with the place it got stuck at", () => {
  const stale = op(40, 50, read, 1);
  const history = [stale, op(20, 30, write(2), true), op(0, 10, write(1), true), op(60, 70, write(5))];
  const { problems } = checkLinearizability(history, registerModel);
  const { key, result } = problems[0]!;
  strictEqual(result.stuckAt, stale);
  const lines = explain(key, history, result, registerModel).split("\n");
  match(lines[1]!, /#1 \[0\.000 \.\. 10\.000\] client 0: .*"value":1/);
  match(lines[2]!, /#2 .*"value":2/);
  match(lines[3]!, /stuck .*"read"} -> 1/);
  match(lines[4]!, /"value":5} -> \? \(unknown\)/);
  match(lines[5]!, /2 operations and ends in state 2/);
  strictEqual(explain(key, history, result, registerModel, 2).split("\n").length, 5);
});

Deno.test("Linearizability: a search that is cut short is undecided, not a verdict", () => {
  const history = [op(0, 10, write(1), true), op(0, 10, write(2), true), op(20, 30, read, 1)];
  strictEqual(checkLinearizability(history, registerModel, 1).verdict, "undecided");
});

Deno.test("HistoryRecorder: an operation is unknown until it ends", () => {
  let now = 0;
  const recorder = new HistoryRecorder<RegisterInput, RegisterOutput>(() => now++);
  const [first, second, third] = [0, 1, 2].map((client) => recorder.begin("x", client, read));
  first!.ok(5);
  second!.failed();
  strictEqual(recorder.operations.map(({ outcome }) => outcome).join(), "ok,failed,unknown");
  strictEqual(recorder.operations[2]!.end, Infinity);
  third!.unknown();
  strictEqual(recorder.operations.map(({ start, end }) => `${start}-${end}`).join(), "0-3,1-4,2-5");
});

/** Histories of up to seven operations on few values at few times: about half of them are linearizable. */
const smallHistory: fc.Arbitrary<RegisterOperation[]> = fc.array(
  fc.record({
    start: fc.integer({ min: 0, max: 14 }),
    length: fc.integer({ min: 0, max: 8 }),
    known: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, {
      weight: 1,
      arbitrary: fc.constant(false),
    }),
    call: fc.oneof(
      fc.record({ input: fc.constant(read), output: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ input: fc.integer({ min: 1, max: 2 }).map(write), output: fc.constant(true) }),
      fc.record({
        input: fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 2 })).map(([a, b]) =>
          cas(a, b)
        ),
        output: fc.boolean(),
      }),
    ),
  }).map(({ start, length, known, call }) =>
    op(start, start + length, call.input, known ? call.output : undefined)
  ),
  { minLength: 1, maxLength: 7 },
);

Deno.test("Linearizability: agrees with trying every order, on small histories", () => {
  let linearizable = 0, violations = 0;
  fc.assert(
    fc.property(smallHistory, (history) => {
      const naive = checkNaively(history, registerModel);
      naive ? linearizable++ : violations++;
      strictEqual(verdict(history), naive ? "linearizable" : "violation");
    }),
    { numRuns: 5000 },
  );
  ok(linearizable > 500 && violations > 500, `${linearizable} linearizable, ${violations} violations`);
});

/** What `clients` see of a working register; each operation takes effect somewhere between its start and end. */
function simulate(
  { count, clients, keys, lossRate }: { count: number; clients: number; keys: number; lossRate: number },
  random: () => number,
): RegisterOperation[] {
  const free = new Float64Array(clients);
  const pending = Array.from({ length: count }, (_, index) => {
    const start = free[index % clients]! + random();
    const end = free[index % clients] = start + random();
    const kind = random();
    const input = kind < 0.4 ? read : kind < 0.7 ? write(index) : cas(Math.floor(random() * count), index);
    return {
      start,
      end,
      at: start + random() * (end - start),
      input,
      key: `k${index % keys}`,
      lost: random(),
    };
  });
  const values = new Map<string, number>();
  return pending.sort((a, b) => a.at - b.at).map(({ start, end, input, key, lost }, client) => {
    const value = values.get(key) ?? 0;
    const done = input.kind !== "cas" || input.from === value;
    const written = input.kind === "write" ? input.value : input.kind === "cas" && done ? input.to : value;
    const output = input.kind === "read" ? value : done;
    // Half of the writes whose answer is lost take effect all the same.
    if (lost >= lossRate / 2) values.set(key, written);
    if (lost < lossRate) return { key, client, input, outcome: "unknown" as const, start, end };
    return { key, client, input, outcome: "ok" as const, output, start, end };
  });
}

for (const [keys, lossRate] of [[1, 0.0001], [100, 0.01]] as const) {
  Deno.test(`Linearizability: 100,000 operations of 16 clients on ${keys} key(s) take few steps`, () => {
    let seed = 7;
    const random = () => (seed = seed * 48271 % 0x7fffffff) / 0x7fffffff;
    const history = simulate({ count: 100_000, clients: 16, keys, lossRate }, random);
    const { verdict, steps } = checkLinearizability(history, registerModel);
    strictEqual(verdict, "linearizable");
    ok(steps < 5_000_000, `${steps} steps`);
  });
}
