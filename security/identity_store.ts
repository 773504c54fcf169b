/**
 * Keeps a node's identity on disk under Docker's file names.
 *
 *     certificates/swarm-root-ca.crt   swarm-node.crt   swarm-node.key   the current identity
 *     certificates/swarm-node.copy.key   the key once more: what the node keeps is sealed for it, and no bit of it may flip
 *     certificates/previous/…          the same three, as they were before the last renewal
 *     certificates/swarm-node.pending.key   the key of a request under way
 *
 * Three files cannot change in one step: `save` copies a whole current set to `previous` first, so whichever
 * write a power cut interrupts, one whole set is left.
 *
 * A manager's private keys may be sealed, with a key that a locked one does not have; see `manager_keys.ts`.
 */
import { CoveyError } from "../api/errors.ts";
import { DataCipher } from "./data_cipher.ts";
import { type FileSystem, writeFileAtomically } from "./file_system.ts";
import { createPrivateKeyPEM, publicKeyOf } from "./key_pair.ts";
import { decodePEM, decodeSinglePEM, encodePEM } from "./pem.ts";
import { assembleIdentity, type IdentityFiles, type NodeIdentity } from "./node_identity.ts";

const ROOT_FILE = "swarm-root-ca.crt";
const CERTIFICATE_FILE = "swarm-node.crt";
const KEY_FILE = "swarm-node.key";
const KEY_COPY_FILE = "swarm-node.copy.key";
const PENDING_KEY_FILE = "swarm-node.pending.key";

const SEALED_LABEL = "COVEY SEALED KEY";
/** What a sealed key belongs to. Not its file's name: the pending key becomes the present one. */
const KEY_CONTEXT = "node key";

const FOLDER_MODE = 0o700;
const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;

/** Reads and writes the identity in `<stateDir>/certificates`. */
export class IdentityStore {
  readonly #fs: FileSystem;
  readonly #folder: string;
  readonly #previous: string;
  #sealing: DataCipher | undefined;
  #busy: Promise<void> = Promise.resolve();

  /** `sealKey` unseals private keys, and seals those that are written. */
  constructor(fs: FileSystem, stateDir: string, sealKey?: Uint8Array) {
    this.#fs = fs;
    this.#sealing = sealKey && new DataCipher(sealKey);
    this.#folder = `${stateDir}/certificates`;
    this.#previous = `${this.#folder}/previous`;
  }

  /**
   * The identity, or undefined when this node has none yet. Falls back to the key's copy when the key is damaged, and to the
   * previous identity when a renewal was cut short.
   *
   * @throws CoveyError `data_loss` naming the folder and what is wrong, when no whole set is left; `unavailable` when the
   * disk does not let one be read, which may be whole
   */
  load(): Promise<NodeIdentity | undefined> {
    return this.#inTurn(() => this.#load());
  }

  async #load(): Promise<NodeIdentity | undefined> {
    let failure: unknown;
    const places = [[this.#folder, KEY_FILE], [this.#folder, KEY_COPY_FILE], [this.#previous, KEY_FILE]];
    for (const [folder, keyFile] of places) {
      try {
        const identity = await this.#loadFrom(folder!, keyFile);
        if (identity) return identity;
      } catch (cause) {
        failure ??= cause;
      }
    }
    if (failure === undefined) return undefined;
    const why = CoveyError.from(failure).message;
    if (!(failure instanceof CoveyError)) {
      const message = `Cannot read node identity in ${this.#folder}: ${why}`;
      throw new CoveyError("unavailable", message, { cause: failure });
    }
    throw new CoveyError(
      "data_loss",
      `Cannot load node identity from ${this.#folder}: ${why}; bring its files back, or, if the cluster has another ` +
        "manager, empty the node's state folder and join again",
      { cause: failure },
    );
  }

  /** Replaces the identity; a crash at any moment leaves the old or the new one. Drops the pending key. */
  save(files: IdentityFiles): Promise<NodeIdentity> {
    return this.#inTurn(() => this.#save(files));
  }

  async #save(files: IdentityFiles): Promise<NodeIdentity> {
    const identity = assembleIdentity(files);
    await this.#fs.makeFolder(this.#previous, FOLDER_MODE);
    const current = await this.#loadFrom(this.#folder).catch(() => undefined);
    if (current) await this.#writeTo(this.#previous, current);
    await this.#writeTo(this.#folder, identity);
    await this.#fs.removeFile(`${this.#folder}/${PENDING_KEY_FILE}`);
    return identity;
  }

  /**
   * Private keys are sealed with `sealKey` from now on, or without one in clear, also those on disk. A crash leaves some as
   * they were, which can be read with the key of before or after, whichever there was.
   */
  useSealKey(sealKey: Uint8Array | undefined): Promise<void> {
    return this.#inTurn(() => this.#useSealKey(sealKey));
  }

  async #useSealKey(sealKey: Uint8Array | undefined): Promise<void> {
    const places = [
      [this.#folder, KEY_FILE],
      [this.#folder, KEY_COPY_FILE],
      [this.#previous, KEY_FILE],
      [this.#folder, PENDING_KEY_FILE],
    ];
    // One that cannot be read stays as it is: whoever needs it says so.
    const keys = await Promise.all(
      places.map(([folder, name]) => this.#readKey(folder!, name!).catch(() => undefined)),
    );
    this.#sealing = sealKey && new DataCipher(sealKey);
    for (const [at, [folder, name]] of places.entries()) {
      if (keys[at] !== undefined) await this.#writeKey(folder!, name!, keys[at]);
    }
  }

  /**
   * The private keys (PEM) that this node has and last had, the present one first; damaged ones are left out. Throws why
   * none can be read, if there are some.
   */
  keys(): Promise<string[]> {
    return this.#inTurn(() => this.#keys());
  }

  async #keys(): Promise<string[]> {
    const places = [[this.#folder, KEY_FILE], [this.#folder, KEY_COPY_FILE], [this.#previous, KEY_FILE]];
    const keys = new Set<string>();
    let failure: unknown;
    for (const [folder, name] of places) {
      try {
        const key = await this.#readKey(folder!, name!);
        if (key === undefined) continue;
        publicKeyOf(key);
        keys.add(key);
      } catch (thrown) {
        failure ??= thrown;
      }
    }
    if (keys.size === 0 && failure !== undefined) throw failure;
    return [...keys];
  }

  /** Has the key of `identity`, which was loaded, on the disk twice, and both whole. */
  keepKeyTwice(identity: NodeIdentity): Promise<void> {
    return this.#inTurn(() => this.#keepKeyTwice(identity));
  }

  async #keepKeyTwice({ privateKeyPEM }: NodeIdentity): Promise<void> {
    for (const name of [KEY_FILE, KEY_COPY_FILE]) await this.#writeKey(this.#folder, name, privateKeyPEM);
  }

  /** Erases the identity before the last renewal: what a node was must not be found on its disk once it is less. */
  forgetPrevious(): Promise<void> {
    return this.#inTurn(() => this.#forgetPrevious());
  }

  async #forgetPrevious(): Promise<void> {
    for (const name of [CERTIFICATE_FILE, KEY_FILE, ROOT_FILE]) {
      await this.#fs.removeFile(`${this.#previous}/${name}`);
    }
  }

  /**
   * The private key (PEM) for a request: on disk before the request is sent, so that a node which loses power
   * asks again with the same key, and the CA answers with the same node.
   */
  pendingKey(): Promise<string> {
    return this.#inTurn(() => this.#pendingKey());
  }

  async #pendingKey(): Promise<string> {
    const existing = await this.#readKey(this.#folder, PENDING_KEY_FILE).catch(() => undefined);
    if (existing !== undefined && isPrivateKey(existing)) return existing;
    await this.#fs.makeFolder(this.#folder, FOLDER_MODE);
    const created = await createPrivateKeyPEM();
    await this.#writeKey(this.#folder, PENDING_KEY_FILE, created);
    return created;
  }

  /** Forgets the identity, as leaving a cluster does. */
  remove(): Promise<void> {
    return this.#inTurn(() => this.#remove());
  }

  async #remove(): Promise<void> {
    await this.#forgetPrevious();
    for (const name of [CERTIFICATE_FILE, KEY_FILE, ROOT_FILE]) {
      await this.#fs.removeFile(`${this.#folder}/${name}`);
    }
    for (const name of [KEY_COPY_FILE, PENDING_KEY_FILE]) {
      await this.#fs.removeFile(`${this.#folder}/${name}`);
    }
  }

  /** A renewal and another seal may come at the same time: each has the files to itself. */
  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const run = this.#busy.then(work);
    this.#busy = run.then(() => {}, () => {});
    return run;
  }

  /** Undefined without a certificate: it is written last, so the set was never whole. */
  async #loadFrom(folder: string, keyFile = KEY_FILE): Promise<NodeIdentity | undefined> {
    const certificateChainPEM = await this.#read(folder, CERTIFICATE_FILE);
    if (certificateChainPEM === undefined) return undefined;
    const rootCAPEM = await this.#read(folder, ROOT_FILE);
    const privateKeyPEM = await this.#readKey(folder, keyFile);
    if (rootCAPEM === undefined || privateKeyPEM === undefined) {
      const missing = rootCAPEM === undefined ? ROOT_FILE : keyFile;
      throw new CoveyError("data_loss", `Cannot use node certificate: ${missing} is missing`);
    }
    for (const [name, text] of [[CERTIFICATE_FILE, certificateChainPEM], [ROOT_FILE, rootCAPEM]] as const) {
      if (decodePEM("CERTIFICATE", text).length > 0) continue;
      const bytes = text.length === 0 ? "it is empty" : "the file is damaged";
      throw new CoveyError(
        "data_loss",
        `Cannot use node certificate: ${name} holds no certificate, ${bytes}`,
      );
    }
    return assembleIdentity({ rootCAPEM, certificateChainPEM, privateKeyPEM });
  }

  async #writeTo(folder: string, files: IdentityFiles): Promise<void> {
    await this.#write(folder, ROOT_FILE, files.rootCAPEM, PUBLIC_MODE);
    await this.#writeKey(folder, KEY_FILE, files.privateKeyPEM);
    if (folder === this.#folder) await this.#writeKey(folder, KEY_COPY_FILE, files.privateKeyPEM);
    await this.#write(folder, CERTIFICATE_FILE, files.certificateChainPEM, PUBLIC_MODE);
  }

  async #read(folder: string, name: string): Promise<string | undefined> {
    const data = await this.#fs.readFile(`${folder}/${name}`);
    return data && new TextDecoder().decode(data);
  }

  /** A private key in clear. Throws `data_loss` for one that is sealed and cannot be unsealed. */
  async #readKey(folder: string, name: string): Promise<string | undefined> {
    const text = await this.#read(folder, name);
    if (text === undefined || !isSealedKey(text)) return text;
    const sealed = decodeSinglePEM(SEALED_LABEL, text);
    const clear = this.#sealing?.unseal(sealed, KEY_CONTEXT);
    if (clear !== undefined) return encodePEM("PRIVATE KEY", clear);
    const why = this.#sealing ? "it is damaged, or was sealed with another key" : "this manager is locked";
    throw new CoveyError("data_loss", `Cannot unseal ${folder}/${name}: ${why}`);
  }

  async #writeKey(folder: string, name: string, privateKeyPEM: string): Promise<void> {
    const before = await this.#read(folder, name);
    const isAsWanted = before !== undefined && isSealedKey(before) === (this.#sealing !== undefined) &&
      await this.#readKey(folder, name).catch(() => undefined) === privateKeyPEM;
    if (isAsWanted) return;
    const text = this.#sealing
      ? encodePEM(
        SEALED_LABEL,
        this.#sealing.seal(decodeSinglePEM("PRIVATE KEY", privateKeyPEM), KEY_CONTEXT),
      )
      : privateKeyPEM;
    await this.#write(folder, name, text, PRIVATE_MODE);
  }

  async #write(folder: string, name: string, text: string, mode: number): Promise<void> {
    if (await this.#read(folder, name) === text) return;
    await writeFileAtomically(this.#fs, folder, name, new TextEncoder().encode(text), mode);
  }
}

function isSealedKey(text: string): boolean {
  return text.includes(`-----BEGIN ${SEALED_LABEL}-----`);
}

function isPrivateKey(pem: string): boolean {
  try {
    publicKeyOf(pem);
    return true;
  } catch {
    return false;
  }
}
