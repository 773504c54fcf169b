/**
 * A stream encrypted with a passphrase: AES-256-GCM with a key of PBKDF2-SHA-256, in blocks, so that any
 * length takes little memory (the STREAM construction: a block's nonce is its number and whether it is the
 * last one).
 *
 *     "COVEYSEC" | format u16 | iterations u32 | salt 16 bytes | block…                          (big-endian)
 *     block: length u32 | ciphertext and tag
 *
 * Everything before the blocks is bound to each of them.
 */
import { ByteQueue } from "../api/byte_queue.ts";
import { CoveyError } from "../api/errors.ts";

/** OWASP's figure for PBKDF2-SHA-256 (2023); half a second on a small board. */
const ITERATIONS = 600_000;
/** What a file may ask for at most: a minute. */
const MAX_ITERATIONS = 20_000_000;
const FORMAT = 1;
const BLOCK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const SALT_BYTES = 16;
const PREAMBLE_BYTES = 8 + 2 + 4 + SALT_BYTES;
const NONCE_BYTES = 12;

const MAGIC = new TextEncoder().encode("COVEYSEC");

/** True if a file that begins with `bytes` (at least 8) is encrypted. */
export function isSealed(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, at) => bytes[at] === byte);
}

/** Encrypts `chunks`. */
export async function* seal(
  chunks: AsyncIterable<Uint8Array>,
  passphrase: string,
  iterations = ITERATIONS,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const preamble = new Uint8Array(PREAMBLE_BYTES);
  const view = new DataView(preamble.buffer);
  preamble.set(MAGIC);
  view.setUint16(8, FORMAT);
  view.setUint32(10, iterations);
  crypto.getRandomValues(preamble.subarray(14));
  const key = await deriveKey(passphrase, preamble, "encrypt");
  yield preamble;
  let nth = 0;
  for await (const { block, last } of blocksOf(chunks)) {
    const sealed = await crypto.subtle.encrypt(algorithm(nth++, last, preamble), key, block);
    const bytes = new Uint8Array(4 + sealed.byteLength);
    new DataView(bytes.buffer).setUint32(0, sealed.byteLength);
    bytes.set(new Uint8Array(sealed), 4);
    yield bytes;
  }
}

/**
 * Decrypts what {@linkcode seal} made. Throws `unauthenticated` for a wrong passphrase, `unimplemented` for a
 * newer format, `data_loss` for what is damaged or cut off.
 */
export async function* unseal(
  chunks: AsyncIterable<Uint8Array>,
  passphrase: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const input = new ByteQueue(chunks);
  const preamble = await exactly(input, PREAMBLE_BYTES);
  const view = new DataView(preamble.buffer);
  const format = view.getUint16(8);
  if (format !== FORMAT) {
    const problem = `its encryption's format is ${format}, this program reads ${FORMAT}`;
    throw new CoveyError("unimplemented", `Cannot read the backup: ${problem}`);
  }
  const iterations = view.getUint32(10);
  if (iterations < 1 || iterations > MAX_ITERATIONS) {
    throw damaged(`it asks for ${iterations} rounds of hashing`);
  }
  const key = await deriveKey(passphrase, preamble, "decrypt");
  for (let nth = 0, last = false; !last; nth++) {
    const length = new DataView((await exactly(input, 4)).buffer).getUint32(0);
    if (length > BLOCK_BYTES + TAG_BYTES) throw damaged(`block ${nth} cannot have ${length} bytes`);
    const block = await exactly(input, length);
    last = await input.ended();
    let plain: ArrayBuffer;
    try {
      plain = await crypto.subtle.decrypt(algorithm(nth, last, preamble), key, block);
    } catch (cause) {
      if (nth > 0) throw damaged(`block ${nth} is not what was written, or the end is missing`);
      const problem = "the passphrase is wrong or the file is damaged";
      throw new CoveyError("unauthenticated", `Cannot decrypt the backup: ${problem}`, { cause });
    }
    yield new Uint8Array(plain);
  }
}

function algorithm(nth: number, last: boolean, additionalData: Uint8Array<ArrayBuffer>): AesGcmParams {
  const iv = new Uint8Array(NONCE_BYTES);
  new DataView(iv.buffer).setUint32(NONCE_BYTES - 5, nth);
  iv[NONCE_BYTES - 1] = last ? 1 : 0;
  return { name: "AES-GCM", iv, additionalData };
}

async function deriveKey(
  passphrase: string,
  preamble: Uint8Array<ArrayBuffer>,
  usage: "encrypt" | "decrypt",
): Promise<CryptoKey> {
  const secret = await crypto.subtle.importKey("raw", new TextEncoder().encode(passphrase), "PBKDF2", false, [
    "deriveKey",
  ]);
  const iterations = new DataView(preamble.buffer).getUint32(10);
  const params = {
    name: "PBKDF2",
    hash: "SHA-256",
    salt: preamble.subarray(PREAMBLE_BYTES - SALT_BYTES),
    iterations,
  };
  return await crypto.subtle.deriveKey(params, secret, { name: "AES-GCM", length: 256 }, false, [usage]);
}

/** Cuts a stream into full blocks and a last one, which may be empty. */
async function* blocksOf(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ block: Uint8Array<ArrayBuffer>; last: boolean }, void> {
  const input = new ByteQueue(chunks);
  for (let last = false; !last;) {
    const block = await input.take(BLOCK_BYTES);
    last = await input.ended();
    yield { block, last };
  }
}

async function exactly(input: ByteQueue, count: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await input.take(count);
  if (bytes.length === count) return bytes;
  throw damaged(`it is cut off after ${input.taken} bytes`);
}

function damaged(problem: string): CoveyError {
  return new CoveyError("data_loss", `Cannot decrypt the backup: ${problem}`);
}
