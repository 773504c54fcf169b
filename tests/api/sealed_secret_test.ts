import assert from "node:assert/strict";
import { openSecret, sealSecret, unwrap, wrapFor } from "../../api/sealed_secret.ts";
import { createPrivateKeyPEM, publicKeyOf } from "../../security/mod.ts";
import { decodeSinglePEM } from "../../security/pem.ts";

const text = new TextEncoder().encode("s3cret");

async function device() {
  const pem = await createPrivateKeyPEM();
  return { publicKey: publicKeyOf(pem), privateKey: decodeSinglePEM("PRIVATE KEY", pem) };
}

Deno.test("Sealed secret: opens with the key that it was wrapped for, and with nothing else", async () => {
  const [one, two] = [await device(), await device()];
  const { id, cipher, dataKey } = await sealSecret(text);
  const wrapped = await wrapFor(id, dataKey, one.publicKey);
  assert.deepEqual(await unwrap(id, wrapped, one.privateKey), dataKey);
  assert.deepEqual(await openSecret(id, cipher, dataKey), text);
  assert.notDeepEqual(await wrapFor(id, dataKey, one.publicKey), wrapped);
  assert.equal(await unwrap(id, wrapped, two.privateKey), undefined);
  assert.equal(await unwrap("00", wrapped, one.privateKey), undefined);
  assert.equal(await openSecret("00", cipher, dataKey), undefined);
  assert.equal(await openSecret(id, cipher, (await sealSecret(text)).dataKey), undefined);
  assert.ok(!new TextDecoder("latin1").decode(cipher).includes("s3cret"));
});

Deno.test("Sealed secret: a flipped bit anywhere is found, and what is no key is refused", async () => {
  const { publicKey, privateKey } = await device();
  const { id, cipher, dataKey } = await sealSecret(text), wrapped = await wrapFor(id, dataKey, publicKey);
  for (let at = 0; at < wrapped.length; at++) {
    assert.equal(
      await unwrap(id, wrapped.with(at, wrapped[at]! ^ 1), privateKey),
      undefined,
      `wrapped ${at}`,
    );
  }
  for (let at = 0; at < cipher.length; at++) {
    assert.equal(await openSecret(id, cipher.with(at, cipher[at]! ^ 1), dataKey), undefined, `cipher ${at}`);
  }
  for (const length of [0, 1, 64, 65, 124]) {
    assert.equal(await unwrap(id, wrapped.slice(0, length), privateKey), undefined);
  }
  await assert.rejects(wrapFor(id, dataKey, publicKey.slice(1)));
});
