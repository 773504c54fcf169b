/**
 * Seals the records of tasks for the device's key: a data key seals them, and is itself kept sealed with a key that is derived
 * from the device's private key. A renewed private key costs one small write. In the caller's turn, and of code that an agent has
 * loaded anyway.
 */
import { hkdfSync } from "node:crypto";
import { DataCipher, KEY_BYTES, newKey } from "../security/data_cipher.ts";
import { decodeSinglePEM } from "../security/pem.ts";

/** The device's private keys (PEM), the present one first, then the one before. */
export type DeviceKeys = () => Promise<string[]>;

type Bytes = Uint8Array<ArrayBuffer>;

const KEY_CONTEXT = "task key";

/** An open seal. */
export class TaskSeal {
  readonly #cipher: DataCipher;
  /** The private key (PEM) that the data key on disk is sealed for. */
  #sealedFor: string;

  private constructor(cipher: DataCipher, sealedFor: string) {
    this.#cipher = cipher;
    this.#sealedFor = sealedFor;
  }

  /** One with a new data key, for the device with this private key. */
  static create(privateKeyPEM: string): TaskSeal {
    return new TaskSeal(new DataCipher(newKey()), privateKeyPEM);
  }

  /** Opens what {@linkcode bytes} gave with one of a device's private keys; undefined if it was sealed for none of them. */
  static open(bytes: Bytes, privateKeysPEM: readonly string[]): TaskSeal | undefined {
    for (const privateKeyPEM of privateKeysPEM) {
      const key = keyOf(privateKeyPEM).unseal(bytes, KEY_CONTEXT);
      if (key) return new TaskSeal(new DataCipher(key), privateKeyPEM);
    }
  }

  /** What is to be kept of it. */
  get bytes(): Bytes {
    return keyOf(this.#sealedFor).seal(this.#cipher.key, KEY_CONTEXT);
  }

  /** Seals it for another private key; true if {@linkcode bytes} are to be kept anew. */
  rekey(privateKeyPEM: string): boolean {
    if (privateKeyPEM === this.#sealedFor) return false;
    this.#sealedFor = privateKeyPEM;
    return true;
  }

  /** Seals what is kept under `name`, and can be unsealed under that only. */
  seal(bytes: Uint8Array, name: string): Bytes {
    return this.#cipher.seal(bytes, name);
  }

  /** Undefined for damaged bytes, or those of another name. */
  unseal(bytes: Uint8Array, name: string): Bytes | undefined {
    return this.#cipher.unseal(bytes, name);
  }
}

function keyOf(privateKeyPEM: string): DataCipher {
  const der = decodeSinglePEM("PRIVATE KEY", privateKeyPEM);
  return new DataCipher(new Uint8Array(hkdfSync("sha256", der, "covey", "agent tasks 1", KEY_BYTES)));
}
