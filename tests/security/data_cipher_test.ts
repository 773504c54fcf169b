import { deepStrictEqual, notDeepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { DataCipher, newKey } from "../../security/mod.ts";

const LENGTHS = [0, 1, 15, 16, 17, 61_440];

Deno.test("Data cipher: gives back what it was given, for the same key and place only", () => {
  const cipher = new DataCipher(newKey()), other = new DataCipher(newKey());
  notStrictEqual(cipher.id, other.id);
  for (const length of LENGTHS) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    const sealed = cipher.seal(bytes, "log/1/0");
    deepStrictEqual(cipher.unseal(sealed, "log/1/0"), bytes);
    strictEqual(cipher.unseal(sealed, "log/1/1"), undefined);
    strictEqual(other.unseal(sealed, "log/1/0"), undefined);
  }
});

Deno.test("Data cipher: takes no bytes of which one is not as it was, and none that are cut off", () => {
  const cipher = new DataCipher(newKey());
  const sealed = cipher.seal(new Uint8Array(40), "a");
  for (let at = 0; at < sealed.length; at++) {
    strictEqual(cipher.unseal(sealed.with(at, sealed[at]! ^ 1), "a"), undefined, `byte ${at}`);
    strictEqual(cipher.unseal(sealed.subarray(0, at), "a"), undefined, `${at} bytes`);
  }
});

Deno.test("Data cipher: never seals twice with one nonce", () => {
  const key = newKey(), nonces = new Set<string>();
  for (let start = 0; start < 10; start++) {
    const cipher = new DataCipher(key);
    for (let nth = 0; nth < 100; nth++) {
      nonces.add(cipher.seal(new Uint8Array(1), "a").subarray(0, 12).toHex());
    }
  }
  strictEqual(nonces.size, 1000);
  const [a, b] = [new DataCipher(key), new DataCipher(key)];
  notDeepStrictEqual(a.seal(new Uint8Array(9), "a"), b.seal(new Uint8Array(9), "a"));
});

Deno.test("Data cipher: unseals what another program's ChaCha20-Poly1305 (RFC 8439) has sealed", () => {
  const cipher = new DataCipher(Uint8Array.from({ length: 32 }, (_, nth) => nth));
  const sealed = Uint8Array.fromHex("000102030405060708090a0bea947e655069c27da0e560516ca0b8e2591ed4bfa2");
  deepStrictEqual(cipher.unseal(sealed, "log/1/0"), new TextEncoder().encode("covey"));
});
