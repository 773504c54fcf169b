import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { CoveyError, hasCode } from "../../api/errors.ts";
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  FrameReader,
} from "../../transport/frames.ts";
import { MAX_FRAME_VALUES, MAX_VALUE_DEPTH } from "../../transport/limits.ts";

const LIMIT = 64 * 1024;

const plain: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: "grapheme" }),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double().map((n) => (n === 0 ? 0 : n)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array(),
    fc.array(tie("value")),
    fc.dictionary(fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"), tie("value"), {
      noNullPrototype: true,
    }),
  ),
})).value;

function framed(frames: Frame[]): Uint8Array {
  const bodies = frames.map((frame) => encodeFrame(frame, LIMIT * 16));
  const bytes = new Uint8Array(bodies.reduce((sum, body) => sum + body.length + FRAME_HEADER_BYTES, 0));
  let at = 0;
  for (const body of bodies) {
    new DataView(bytes.buffer).setUint32(at, body.length);
    bytes.set(body, at + FRAME_HEADER_BYTES);
    at += FRAME_HEADER_BYTES + body.length;
  }
  return bytes;
}

function push(reader: FrameReader, bytes: Uint8Array, sink: (frame: Frame) => void = () => {}): void {
  reader.add(bytes);
  while (reader.next(sink));
  // What arrives next may lie where this was.
  bytes.fill(0xff);
}

function read(bytes: Uint8Array, cuts: number[] = []): Frame[] {
  const reader = new FrameReader(LIMIT * 16);
  const frames: Frame[] = [];
  const at = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) =>
    a - b
  );
  for (let i = 1; i < at.length; i++) {
    push(reader, bytes.slice(at[i - 1], at[i]), (frame) => frames.push(frame));
  }
  return frames;
}

function refuses(hex: string, problem: RegExp): void {
  const bytes = Uint8Array.from(hex.match(/../g)!.map((byte) => parseInt(byte, 16)));
  assert.throws(() => decodeFrame(bytes), (error: CoveyError) => {
    assert.equal(error.code, "invalid_argument");
    assert.match(error.message, problem);
    return true;
  });
}

Deno.test("Frames: what is written is read again, whatever pieces it arrives in", () => {
  fc.assert(fc.property(fc.array(fc.array(plain), { maxLength: 4 }), fc.array(fc.nat()), (frames, cuts) => {
    assert.deepEqual(read(framed(frames), cuts), frames);
  }));
});

Deno.test("Frames: byte by byte is read like all at once", () => {
  const frames = [["a", { B: [1, 2, new Uint8Array([3])] }], ["second"]];
  const bytes = framed(frames);
  assert.deepEqual(read(bytes, [...bytes.keys()]), frames);
});

Deno.test("Frames: random bytes give a value or a typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        decodeFrame(bytes);
      } catch (error) {
        assert.ok(hasCode(error, "invalid_argument"), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("Frames: mutated frames give a value or a typed error", () => {
  const mutation = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(plain, { minLength: 1 }),
      fc.array(mutation, { minLength: 1 }),
      fc.nat(),
      (frame, changes, cut) => {
        const bytes = framed([frame, frame]);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        try {
          read(bytes.slice(0, bytes.length - cut % 3));
        } catch (error) {
          assert.ok(hasCode(error, "invalid_argument", "resource_exhausted"), String(error));
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("Frames: hostile CBOR is refused for its own reason", () => {
  refuses("9affffffff", /truncated/);
  refuses("9bffffffffffffffff", /truncated/);
  refuses("bbffffffffffffffff", /truncated/);
  refuses("5bffffffffffffffff", /truncated/);
  refuses("81", /truncated/);
  refuses("8101".repeat(1) + "00", /1 bytes after/);
  refuses("9f01ff", /indefinite/);
  refuses("81c000", /tag 0 is not allowed/);
  refuses("81d81c00", /tag 28 is not allowed/);
  refuses("81e0", /simple value 0/);
  refuses("81a10102", /a map key is integer/);
  refuses("8162c328", /not UTF-8/);
  refuses("81".repeat(MAX_VALUE_DEPTH + 1) + "00", /nested deeper/);
  refuses("81".repeat(100_000) + "00", /nested deeper/);
  refuses("a0", /no array/);
  refuses("9a000f4240" + "00".repeat(1_000_000), new RegExp(`more than ${MAX_FRAME_VALUES} values`));
});

Deno.test("Frames: a declared length beyond the limit is refused before its bytes arrive", () => {
  const reader = new FrameReader(LIMIT);
  assert.throws(() => push(reader, new Uint8Array([255, 255, 255, 255])), {
    code: "resource_exhausted",
  });
  assert.throws(() => push(new FrameReader(LIMIT), new Uint8Array(4)), { code: "invalid_argument" });
});

Deno.test("Frames: a message beyond the limit is not sent, and the error says both sizes", () => {
  assert.throws(() => encodeFrame([new Uint8Array(100)], 50), (error: CoveyError) => {
    assert.equal(error.code, "resource_exhausted");
    assert.match(error.message, /103 bytes exceed the limit of 50/);
    return true;
  });
});

Deno.test("Frames: undefined fields are dropped and the sender's object stays as it was", () => {
  const message = { Name: "web", Image: undefined, Deep: { Gone: undefined, Kept: 1 } };
  const decoded = decodeFrame(encodeFrame([message], LIMIT));
  assert.deepEqual(decoded, [{ Name: "web", Deep: { Kept: 1 } }]);
  assert.ok("Image" in message && "Gone" in message.Deep);
});

Deno.test("Frames: maps are plain CBOR maps that any library reads", () => {
  const body = encodeFrame([1, { a: "b" }, Buffer.from([9])], LIMIT);
  assert.deepEqual([...body], [0x83, 0x01, 0xa1, 0x61, 0x61, 0x61, 0x62, 0x41, 0x09]);
  assert.equal(Object.getPrototypeOf(decodeFrame(body)[2]), Uint8Array.prototype);
});

Deno.test("Frames: what is no plain data is refused when sent", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const bad = [
    () => 1,
    Symbol("s"),
    new Date(0),
    new Map(),
    new Set(),
    2n ** 64n,
    cycle,
    new Error("x"),
    new Uint16Array(1),
  ];
  for (const value of bad) {
    assert.throws(() => encodeFrame([value], LIMIT), { code: "invalid_argument" });
  }
  assert.throws(() => encodeFrame([JSON.parse('{"__proto__":1}')], LIMIT), { code: "invalid_argument" });
});
