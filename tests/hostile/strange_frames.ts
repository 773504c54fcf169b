/** Frames that nobody sends: valid ones that were changed, by their values or by their bytes, and plain noise. All from one seed. */
import { CA_METHODS } from "../../api/ca.ts";
import { DISPATCHER_METHODS } from "../../api/dispatcher.ts";
import { RAFT_METHODS } from "../../api/raft.ts";
import { CONTROL_METHOD } from "../../manager/forward/control_messages.ts";
import { encodeFrame, type Frame, FrameType } from "../../transport/frames.ts";
import { DESCRIPTION } from "../manager/dispatcher/harness.ts";
import type { SeededRandom } from "../sim/raft/random.ts";

const MAX_BYTES = 4 * 1024 * 1024;
const KINDS = ["unary", "server_stream", "client_stream"];
const METHODS = [
  ...Object.values(CA_METHODS),
  ...Object.values(DISPATCHER_METHODS),
  ...Object.values(RAFT_METHODS),
  CONTROL_METHOD,
  "no.such",
];

/** Requests as their callers make them. */
const REQUESTS: unknown[] = [
  {},
  {
    CSR: "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
    Token: "SWMTKN-1-a-b",
  },
  { Description: DESCRIPTION },
  { SessionID: "a", Updates: [{ TaskID: "t", Status: { State: "running", Timestamp: "", Message: "" } }] },
  { SessionID: "a" },
  { NodeID: "n", MemberID: 7, Addr: "127.0.0.1:1" },
  { From: 7, To: 8, Addr: "127.0.0.1:1" },
  { Method: "GET", Path: "/nodes", Headers: [], Body: new Uint8Array(3) },
  {
    Method: "GET",
    Path: "/nodes",
    Headers: [],
    Body: new Uint8Array(3),
    Caller: { Name: "x", Rights: ["administer"] },
  },
];

/** Values that some program somewhere did not expect. */
const ODD_NUMBERS = [
  0,
  -1,
  1.5,
  NaN,
  Infinity,
  -0,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  2 ** 64,
  1e308,
  5e-324,
];
const ODD_TEXTS = [
  "",
  "\0",
  "\u202e",
  "\ud800",
  "constructor",
  "a".repeat(70_000),
  "../../etc/passwd",
  "$(id)",
];
const ODD_OBJECTS: unknown[] = [null, [], {}, new Uint8Array(0), new Uint8Array(70_000), [[[[[]]]]], {
  valueOf: 2,
  length: 1e9,
}];
const ODD: unknown[] = [true, false, ...ODD_NUMBERS, ...ODD_TEXTS, ...ODD_OBJECTS];

/** One frame after another, length in front, for one connection. */
export class StrangeFrames {
  readonly #random: SeededRandom;
  /** Only the requests are strange, so that the connection lasts and the methods themselves have to look. */
  readonly #civil: boolean;
  #id = -1;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#civil = random.chance(0.5);
  }

  next(): Uint8Array {
    const random = this.#random;
    if (this.#civil) return this.#strangeRequest();
    if (random.chance(0.1)) return this.#packed(this.#noise(random.between(0, 300)));
    let frame = this.#valid();
    if (random.chance(0.6)) frame = this.#odd(frame, 3) as Frame;
    let body: Uint8Array;
    try {
      body = encodeFrame(Array.isArray(frame) ? frame : [frame], MAX_BYTES);
    } catch {
      body = encodeFrame(this.#valid(), MAX_BYTES); // our own codec does not make such a frame
    }
    return random.chance(0.4) ? this.#packed(this.#broken(body)) : this.#packed(body);
  }

  #strangeRequest(): Uint8Array {
    const random = this.#random;
    const head = [FrameType.open, this.#id += 2, random.pick(KINDS), random.pick(METHODS)];
    try {
      const request = this.#odd(random.pick(REQUESTS), 4);
      return framed(encodeFrame([...head, request, random.pick([0, 1, 1000]), 65_536], MAX_BYTES));
    } catch {
      return framed(encodeFrame([FrameType.ping], MAX_BYTES)); // our own codec does not make such a request
    }
  }

  #valid(): Frame {
    const random = this.#random, id = random.pick([1, this.#id, this.#id + 2, 2, 999_999]);
    const frames: (() => Frame)[] = [
      () => [FrameType.ping],
      () => [FrameType.pong],
      () => [FrameType.hello, 1],
      () => [FrameType.item, id, random.pick(REQUESTS)],
      () => [FrameType.end, id],
      () => [FrameType.result, id, random.pick(REQUESTS)],
      () => [FrameType.fail, id, { code: "unavailable", message: "m", retryable: true, problems: [] }],
      () => [FrameType.cancel, id],
      () => [FrameType.credit, id, random.pick([1, 65_536, 2 ** 40])],
    ];
    if (random.chance(0.4)) return random.pick(frames)();
    const request = random.pick(REQUESTS), timeout = random.pick([0, 1, 1000]);
    return [
      FrameType.open,
      this.#id += 2,
      random.pick(KINDS),
      random.pick(METHODS),
      request,
      timeout,
      65_536,
    ];
  }

  /** `value` with something in it exchanged for what does not belong there. */
  #odd(value: unknown, depth: number): unknown {
    const random = this.#random;
    const isPlain = typeof value === "object" && value !== null && !(value instanceof Uint8Array);
    if (!isPlain || depth === 0 || random.chance(0.1)) return random.pick(ODD);
    if (Array.isArray(value)) {
      const copy = [...value];
      if (copy.length === 0 || random.chance(0.1)) copy.push(random.pick(ODD));
      else {
        const at = random.between(0, copy.length - 1);
        copy[at] = this.#odd(copy[at], depth - 1);
      }
      return copy;
    }
    const fields: Record<string, unknown> = { ...value };
    const names = Object.keys(fields);
    if (names.length === 0 || random.chance(0.1)) {
      fields[random.pick(["x", "constructor", "length"])] = random.pick(ODD);
    } else {
      const name = random.pick(names);
      fields[name] = this.#odd(fields[name], depth - 1);
    }
    return fields;
  }

  /** Bytes with a few of them changed, cut or doubled. */
  #broken(body: Uint8Array): Uint8Array {
    const random = this.#random;
    const bytes = [...body.subarray(0, 4096)];
    for (let changes = random.between(1, 4); changes > 0 && bytes.length > 0; changes--) {
      const at = random.between(0, bytes.length - 1);
      const how = random.between(0, 3);
      if (how === 0) bytes[at] = bytes[at]! ^ (1 << random.between(0, 7));
      else if (how === 1) {
        bytes[at] = random.pick([
          0x1b,
          0x3b,
          0x5b,
          0x7b,
          0x9b,
          0xbb,
          0xdb,
          0xfb,
          0x9f,
          0xbf,
          0xff,
          0xc2,
          0xd9,
        ]);
      } else if (how === 2) bytes.splice(at, random.between(1, 8));
      else bytes.splice(at, 0, ...this.#noise(random.between(1, 8)));
    }
    return Uint8Array.from(bytes);
  }

  #noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.between(0, 255));
  }

  /** Now and then the length in front is wrong. */
  #packed(body: Uint8Array): Uint8Array {
    const random = this.#random;
    return framed(
      body,
      random.chance(0.03) ? random.pick([0, 1, body.length + 1, 2 ** 20, 2 ** 32 - 1]) : body.length,
    );
  }
}

function framed(body: Uint8Array, length = body.length): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, length);
  bytes.set(body, 4);
  return bytes;
}
