/**
 * The keys that a manager seals its state with, beside its certificate: `certificates/manager.keys`.
 *
 * Without a lock they stand there in clear, as the private key does. With one, the whole is sealed with the cluster's unlock
 * key, and the private key in turn with a key from here: one file, replaced in one step, takes a change of the unlock key.
 */
import { createHash } from "node:crypto";
import { CoveyError } from "../api/errors.ts";
import { isObject } from "../api/validate/mod.ts";
import { DataCipher, KEY_BYTES, newKey } from "./data_cipher.ts";
import { type FileSystem, writeFileAtomically } from "./file_system.ts";

const FILE = "manager.keys";
const FORMAT = 1;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a cluster locks its managers with: no key if it does not. */
export interface ManagerLock {
  /** Bytes of the unlock key. */
  key: Uint8Array | undefined;
  /** Version of the cluster object that said so: an older one, which a restart may show again, counts no more. */
  version: number;
}

/** The keys, as they are in the file. */
interface Keys {
  /** Of the state, the newest last; there are several while one replaces another. */
  data: readonly Uint8Array[];
  /** Of the node's private keys; they are in clear without it. */
  identity: Uint8Array | undefined;
}

/** The file as it is read. */
interface Stored {
  version: number;
  locked: boolean;
  /** Base64. */
  keys: string;
}

/** One manager's keys. Each change is on disk when its method resolves; a crash leaves the file before or after it. */
export class ManagerKeys {
  readonly #fs: FileSystem;
  readonly #folder: string;
  #stored: Stored | undefined;
  #keys: Keys | undefined;
  #lock: ManagerLock = { key: undefined, version: 0 };

  constructor(fs: FileSystem, stateDir: string) {
    this.#fs = fs;
    this.#folder = `${stateDir}/certificates`;
  }

  /** Reads the file, if there is one. Throws `data_loss` naming it if it is damaged. */
  async load(): Promise<void> {
    const data = await this.#fs.readFile(`${this.#folder}/${FILE}`);
    this.#stored = this.#keys = undefined;
    if (data === undefined) return;
    const stored = this.#read(data);
    if (stored.locked) this.#stored = stored;
    else this.#take(Uint8Array.fromBase64(stored.keys), { key: undefined, version: stored.version });
  }

  /** Whether there are keys here that {@linkcode unlock} has to open first. */
  get isLocked(): boolean {
    return this.#keys === undefined && this.#stored !== undefined;
  }

  /** Opens locked keys; false if `key` is not the one that locked them. */
  unlock(key: Uint8Array): boolean {
    const { version, keys } = this.#stored!;
    const opened = new DataCipher(key).unseal(Uint8Array.fromBase64(keys), contextOf(version));
    if (opened === undefined) return false;
    this.#take(opened, { key, version });
    return true;
  }

  /** The keys of the state, the newest last. Throws `failed_precondition` while there are none, or they are locked. */
  get data(): readonly Uint8Array[] {
    return this.#require().data;
  }

  /** The key of the private keys; undefined without a lock. */
  get identity(): Uint8Array | undefined {
    return this.#keys?.identity;
  }

  get lock(): ManagerLock {
    return this.#lock;
  }

  /** Makes the first key, if there is none. */
  async create(): Promise<void> {
    if (this.#keys === undefined) await this.load();
    if (this.#keys !== undefined || this.isLocked) return;
    await this.#save({ data: [newKey()], identity: undefined }, { key: undefined, version: 0 });
  }

  /**
   * Locks with another key, or with none. What stood here in clear before the first lock might be known to whoever had the
   * disk: there is a further key of the state then, which is to replace the one before, and one of the private keys.
   */
  async relock(lock: ManagerLock): Promise<void> {
    const { data, identity } = this.#require();
    const isFirst = lock.key !== undefined && this.#lock.key === undefined;
    await this.#save({
      data: isFirst ? [...data, newKey()] : data,
      identity: lock.key && (identity ?? newKey()),
    }, lock);
  }

  /** Forgets all keys of the state but the newest. */
  async dropOld(): Promise<void> {
    const keys = this.#require();
    if (keys.data.length > 1) await this.#save({ ...keys, data: keys.data.slice(-1) }, this.#lock);
  }

  /** Forgets all, here and on disk. */
  async remove(): Promise<void> {
    await this.#fs.removeFile(`${this.#folder}/${FILE}`);
    this.forget();
  }

  /** Forgets all that is here; the file is gone, or not this node's any more. */
  forget(): void {
    this.#stored = this.#keys = undefined;
    this.#lock = { key: undefined, version: 0 };
  }

  #require(): Keys {
    if (this.#keys !== undefined) return this.#keys;
    const why = this.isLocked ? "they are locked" : "there are none";
    throw new CoveyError("failed_precondition", `Cannot use the keys in ${this.#folder}/${FILE}: ${why}`);
  }

  async #save(keys: Keys, lock: ManagerLock): Promise<void> {
    const { key, version } = lock;
    const clear = encodeKeys(keys);
    const sealed = key ? new DataCipher(key).seal(clear, contextOf(version)) : clear;
    const stored: Stored = { version, locked: key !== undefined, keys: sealed.toBase64() };
    const text = JSON.stringify({ format: FORMAT, ...stored, digest: digestOf(stored) }, null, 2);
    await this.#fs.makeFolder(this.#folder, FOLDER_MODE);
    await writeFileAtomically(this.#fs, this.#folder, FILE, encoder.encode(`${text}\n`), FILE_MODE);
    this.#keys = keys;
    this.#lock = lock;
    this.#stored = stored;
  }

  #read(data: Uint8Array): Stored {
    try {
      const content: unknown = JSON.parse(decoder.decode(data));
      if (!isObject(content)) throw new Error("it holds no object");
      const { format, version, locked, keys, digest } = content;
      if (format !== FORMAT) throw new Error(`its format is ${format}, this program reads ${FORMAT}`);
      if (typeof version !== "number" || typeof locked !== "boolean" || typeof keys !== "string") {
        throw new Error("version, locked or keys is missing or wrong");
      }
      const stored = { version, locked, keys };
      // Otherwise a damaged file would say that the right key is a wrong one.
      if (digest !== digestOf(stored)) throw new Error("its digest is wrong");
      return stored;
    } catch (cause) {
      throw this.#damaged((cause as Error).message, cause);
    }
  }

  #take(bytes: Uint8Array, lock: ManagerLock): void {
    const keys = decodeKeys(bytes);
    if (keys === undefined) throw this.#damaged("it holds no keys");
    this.#keys = keys;
    this.#lock = lock;
  }

  #damaged(problem: string, cause?: unknown): CoveyError {
    return new CoveyError(
      "data_loss",
      `Cannot read ${this.#folder}/${FILE}: ${problem}; bring the file back, or replace this manager`,
      { cause },
    );
  }
}

/** What a sealed file's keys belong to: with another version beside them they do not open. */
function contextOf(version: number): string {
  return `manager keys ${version}`;
}

function digestOf({ version, locked, keys }: Stored): string {
  return createHash("sha256").update(JSON.stringify([version, locked, keys])).digest("hex");
}

function encodeKeys({ data, identity }: Keys): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify({
    data: data.map((key) => key.toBase64()),
    ...(identity && { identity: identity.toBase64() }),
  }));
}

function decodeKeys(bytes: Uint8Array): Keys | undefined {
  try {
    const { data, identity } = JSON.parse(decoder.decode(bytes));
    const keys = {
      data: (data as string[]).map((key) => Uint8Array.fromBase64(key)),
      identity: identity === undefined ? undefined : Uint8Array.fromBase64(identity),
    };
    const all = [...keys.data, ...(keys.identity ? [keys.identity] : [])];
    return keys.data.length > 0 && all.every(({ length }) => length === KEY_BYTES) ? keys : undefined;
  } catch {
    return undefined;
  }
}
