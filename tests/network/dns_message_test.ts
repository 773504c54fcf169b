import assert from "node:assert/strict";
import fc from "fast-check";
import { CODE, encodeAnswer, parseQuestion, reverseAddress, TYPE } from "../../network/dns_message.ts";

const label = (text: string) => [text.length, ...new TextEncoder().encode(text)];
function question(name: string, type: number = TYPE.A, option: number[] = []): Uint8Array {
  const head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, option.length > 0 ? 1 : 0];
  return new Uint8Array([...head, ...name.split(".").flatMap(label), 0, 0, type, 0, 1, ...option]);
}
const option = (bytes: number) => [0, 0, TYPE.OPT, bytes >> 8, bytes & 255, 0, 0, 0, 0, 0, 0];

Deno.test("DNS: a question is read, in lower case", () => {
  const read = parseQuestion(question("Web.Shop", TYPE.AAAA))!;
  assert.deepEqual([read.id, read.name, read.type, read.wantsRecursion, read.maxBytes], [
    0x1234,
    "web.shop",
    28,
    true,
    512,
  ]);
  assert.equal(parseQuestion(question("web", TYPE.A, option(4096)))!.maxBytes, 1232);
  assert.equal(parseQuestion(question("web", TYPE.A, option(100)))!.maxBytes, 512);
});

Deno.test("DNS: an answer repeats the question and has the addresses, for a second", () => {
  const asked = question("web");
  const bytes = encodeAnswer(asked, parseQuestion(asked)!, CODE.ok, [{ type: TYPE.A, address: "10.0.1.2" }]);
  assert.deepEqual([...bytes.subarray(0, 8)], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1]);
  assert.deepEqual([...bytes.subarray(asked.length)], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 1, 2]);
});

Deno.test("DNS: an answer that does not fit is cut, and says so; a question's option is not repeated", () => {
  const asked = question("web", TYPE.A, option(600)), read = parseQuestion(asked)!;
  const many = Array.from({ length: 100 }, (_, at) => ({ type: TYPE.A, address: `10.0.1.${at}` }));
  const bytes = encodeAnswer(asked, read, CODE.ok, many);
  assert.ok(bytes.length <= 600);
  assert.equal(bytes[2]! & 2, 2);
  assert.equal(bytes[7], Math.floor((600 - read.end) / 16));
  assert.deepEqual([...bytes.subarray(8, 12)], [0, 0, 0, 0]);
  assert.equal(bytes.length, read.end + bytes[7]! * 16);
});

Deno.test("DNS: an answer with a name", () => {
  const asked = question("2.1.0.10.in-addr.arpa", TYPE.PTR);
  assert.equal(reverseAddress(parseQuestion(asked)!.name), "10.0.1.2");
  const bytes = encodeAnswer(asked, parseQuestion(asked)!, CODE.ok, [{ type: TYPE.PTR, name: "web.shop" }]);
  assert.deepEqual([...bytes.subarray(-10)], [...label("web"), ...label("shop"), 0]);
  for (const odd of ["1.0.10.in-addr.arpa", "x.1.0.10.in-addr.arpa", "256.1.0.10.in-addr.arpa", "web"]) {
    assert.equal(reverseAddress(odd), undefined);
  }
});

Deno.test("DNS: what is no question is not answered, whatever it is", () => {
  const asked = question("web.example.com");
  for (let length = 0; length < asked.length; length++) {
    assert.equal(parseQuestion(asked.subarray(0, length)), undefined);
  }
  const answer = asked.slice();
  answer[2] = 0x80;
  assert.equal(parseQuestion(answer), undefined);
  const pointer = asked.slice();
  pointer[12] = 0xc0;
  assert.equal(parseQuestion(pointer), undefined);
  assert.equal(
    parseQuestion(question("a".repeat(63) + "." + Array(5).fill("b".repeat(63)).join("."))),
    undefined,
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const read = parseQuestion(bytes);
      if (read !== undefined) assert.ok(encodeAnswer(bytes, read, CODE.noSuchName).length <= 512);
    }),
    { numRuns: 2000, seed: 3 },
  );
});
