/** The key that a locked manager is unlocked with, in SwarmKit's form. */
import { CoveyError } from "../api/errors.ts";
import type { Random } from "../api/random.ts";
import { KEY_BYTES } from "./data_cipher.ts";

/** What every unlock key begins with; the key in base64 without padding follows. */
const PREFIX = "SWMKEY-1-";
const FORM = /^SWMKEY-1-[A-Za-z0-9+/]{43}$/;

/** A new key. */
export function createUnlockKey(random: Random): string {
  return PREFIX + random.bytes(KEY_BYTES).toBase64({ omitPadding: true });
}

/** The bytes of a key. Throws `invalid_argument` in Docker's words. */
export function parseUnlockKey(text: string): Uint8Array<ArrayBuffer> {
  if (FORM.test(text)) return Uint8Array.fromBase64(text.slice(PREFIX.length));
  throw new CoveyError("invalid_argument", "invalid key string");
}
