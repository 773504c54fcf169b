import { deepStrictEqual, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { Encoder } from "cbor-x/index-no-eval";
import fc from "fast-check";
import { ObjectReader } from "../../../manager/store/object_reader.ts";

/** As records and entries are written. */
const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

function task(ID: string, Spec: unknown) {
  return { ID, Spec, ServiceID: "s1", Slot: 1, NodeID: "n1", Status: { State: "running" } };
}

Deno.test("ObjectReader: objects with equal specs hold the same one", () => {
  const reader = new ObjectReader();
  const specs = ["a", "b", "a"].map((Image) => ({ ContainerSpec: { Image, Args: ["x"] }, ForceUpdate: 0 }));
  const [a, b, again] = specs.map((spec, nth) => {
    const [, object] = reader.read(cbor.encode([nth, task(`t${nth}`, spec)])) as [number, { Spec: unknown }];
    deepStrictEqual(object, task(`t${nth}`, spec));
    return object.Spec;
  });
  strictEqual(again, a);
  notStrictEqual(b, a);
});

Deno.test("ObjectReader: reads every object as it was written, whatever it read before", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 80 }),
    fc.constantFrom("", "running", "ready", "ü", "\u00fb", "__a", "a".repeat(5000)),
  );
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      ...[text, fc.integer(), fc.maxSafeInteger(), fc.double(), fc.boolean(), fc.constant(null)],
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(text.filter((key) => key !== "__proto__"), tie("value"), { noNullPrototype: true }),
    ),
  })).value;
  const name = fc.constantFrom("Spec", "ServiceAnnotations", "State", "NodeID", "ServiceID", "Other");
  const object = fc.dictionary(name, value, { noNullPrototype: true });
  const reader = new ObjectReader();
  fc.assert(
    fc.property(fc.array(object, { maxLength: 5 }), (objects) => {
      for (const each of [...objects, ...objects]) {
        const bytes = cbor.encode([1, each]);
        deepStrictEqual(reader.read(bytes), cbor.decode(bytes));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("ObjectReader: reads half of a surrogate pair, which was taken when it was written", () => {
  const [label] = new ObjectReader().read(cbor.encode(["a\ud800"])) as string[];
  strictEqual(label!.startsWith("a\ufffd"), true);
});

Deno.test("ObjectReader: an object that is cut short is refused, also within a spec that it knows", () => {
  const reader = new ObjectReader();
  const bytes = cbor.encode([1, task("t1", { ContainerSpec: { Image: "busybox" } })]);
  reader.read(bytes);
  for (let length = 0; length < bytes.length; length++) {
    throws(() => reader.read(bytes.subarray(0, length)), { code: "data_loss" }, `${length} bytes`);
  }
});
