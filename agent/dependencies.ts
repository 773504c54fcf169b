/**
 * The secrets and configs on this node: in memory in clear, on disk only sealed with the device's key, so that tasks can be
 * started again without a manager.
 *
 *     assigned ---> in memory ---> sealed on disk ---> (reboot) ---> in memory again
 *                       |               '--- the device's key is another: unreadable, until a manager sends it again
 *                       '--- the last task that needs it is gone, or the node is removed: forgotten in both places
 */
import {
  dependenciesOf,
  type Dependency,
  type DependencyKind,
  type DependencyPayload,
} from "../api/dependency.ts";
import {
  type AssignmentChange,
  type DependencyChange,
  MAX_SEALS,
  type RenewedSeal,
} from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { NodeDescription } from "../api/node.ts";
import { digestOf, openSecret, unwrap, wrapFor } from "../api/sealed_secret.ts";
import { expandPayload } from "../api/task_template.ts";
import type { Task } from "../api/task.ts";
import type { Dependencies } from "../executors/executor.ts";
import {
  newDataKey,
  seal,
  sealDataKey,
  type SealKey,
  unseal,
  unsealDataKey,
} from "../security/device_seal.ts";
import { publicKeyOf } from "../security/key_pair.ts";
import { decodeSinglePEM } from "../security/pem.ts";
import type { LocalState } from "./local_state.ts";
import type { DeviceKeys } from "./task_seal.ts";

const log = getLogger(["covey", "agent"]);

/** The record that holds the data key; all others are named KIND/ID. */
const KEY_RECORD = "key";

type Bytes = Uint8Array<ArrayBuffer>;

interface Held {
  bytes: Bytes;
  isTemplate: boolean;
  /** Of a secret that a client has sealed: what opens it, for the node to wrap it again once its own key is renewed. */
  seal?: OpenSeal | undefined;
}

interface OpenSeal {
  id: string;
  dataKey: Bytes;
  /** Of the node's key that managers have it wrapped for; undefined until one has told. */
  digest: string | undefined;
}

/** What the first byte of a record says of the rest. */
const PLAIN = 0, TEMPLATE = 1, OPENED = 2;
/** Bytes of a data key, and of a seal's ID. */
const DATA_KEY_BYTES = 32, SEAL_ID_BYTES = 16;

/** Keeps what tasks of this node depend on. */
export class DependencyKeeper {
  readonly #state: LocalState;
  readonly #keys: DeviceKeys;
  readonly #held = new Map<string, Held>();
  readonly #unreadable = new Set<string>();
  /** Sealed secrets as they were last told of, and why those that are not open are not. */
  readonly #told = new Map<string, DependencyPayload>();
  readonly #closed = new Map<string, string>();
  #dataKey: SealKey | undefined;
  /** The private key that the data key on disk is sealed for. */
  #sealedFor: string | undefined;
  /** Whether a manager has told since the agent started what there is. */
  #isTold = false;
  /** What is under way on the disk, one thing after the other. */
  #work: Promise<void> = Promise.resolve();

  /** Without keys nothing is written: what is held is lost with the process. */
  constructor(state: LocalState, keys: DeviceKeys = () => Promise.resolve([])) {
    this.#state = state;
    this.#keys = keys;
  }

  /** Reads what an earlier agent has sealed. Never rejects: what cannot be read is named when a task asks for it. */
  async load(): Promise<void> {
    const sealed = [...this.#state.sealed()].filter(([name]) => name !== KEY_RECORD);
    if (sealed.length === 0) return;
    this.#dataKey = await this.#findKey();
    for (const [name, bytes] of sealed) {
      const plain = this.#dataKey && await unseal(this.#dataKey, bytes, name);
      if (plain) this.#held.set(name, heldIn(plain));
      else this.#unreadable.add(name);
    }
    if (this.#unreadable.size > 0) {
      log.warn(
        "{count} secrets and configs on this node cannot be unsealed with its key; a manager sends them again",
        {
          count: this.#unreadable.size,
        },
      );
    }
  }

  /** Takes over the complete set: what is not in it is forgotten. */
  applyComplete(changes: readonly AssignmentChange[]): void {
    this.#isTold = true;
    const listed = new Set(
      changes.flatMap((change) =>
        isPayload(change) && change.Action === "update" ? [recordName(change.Kind, change.Payload.ID)] : []
      ),
    );
    for (const name of this.#names()) if (!listed.has(name)) this.#forget(name);
    for (const change of changes) this.apply(change);
  }

  /** Takes over one change; what is there already is not written again. */
  apply(change: AssignmentChange): void {
    if (!isPayload(change)) return;
    if (change.Action === "remove") this.#forget(recordName(change.Kind, change.ID));
    else this.#keep(change.Kind, change.Payload);
  }

  /** What the task may read as `current` says it is; placeholders are filled in with what `node` says. */
  forTask(current: () => Task, node: () => Promise<NodeDescription>): Dependencies {
    return {
      read: async (kind, id) => {
        const task = current(), { ID } = task, references = dependenciesOf(task.Spec);
        const reference = references.find((each) => each.Kind === kind && each.ID === id);
        if (!reference) {
          throw new CoveyError(
            "permission_denied",
            `Cannot read ${kind} ${id}: task ${ID} does not reference it`,
          );
        }
        const name = recordName(kind, id);
        // What was told just now may still have to be opened.
        if (!this.#held.has(name)) await this.#work;
        const held = this.#held.get(name);
        if (held?.isTemplate) {
          const functions = {
            secret: this.#textOf("secret", references),
            config: this.#textOf("config", references),
          };
          return filledIn(reference, held.bytes, task, await node(), functions);
        }
        if (held) return held.bytes;
        throw this.#missing(kind, reference.Name, name);
      },
    };
  }

  /** The node belongs to no cluster any more: nothing is kept, in memory or on disk. */
  async wipe(): Promise<void> {
    for (const name of this.#names()) this.#forget(name);
    await this.settled();
  }

  /** Seals what opens this and the node's tasks for its present private key, if that is another than before. */
  rekey(): Promise<void> {
    this.#enqueue(async () => {
      const keys = await this.#keys(), [present] = keys;
      this.#state.rekey(keys);
      if (this.#dataKey && present !== undefined && present !== this.#sealedFor) await this.#putKey(present);
    });
    return this.settled();
  }

  /** What opens the node's sealed secrets, wrapped for its present key, where managers have it for the one before. */
  async staleSeals(): Promise<RenewedSeal[]> {
    await this.settled();
    const [privateKey] = await this.#keys();
    if (privateKey === undefined) return [];
    const publicKey = publicKeyOf(privateKey),
      PublicKeyDigest = await digestOf(publicKey),
      stale: RenewedSeal[] = [];
    for (const [name, { seal }] of this.#held) {
      if (seal?.digest === undefined || seal.digest === PublicKeyDigest || stale.length === MAX_SEALS) {
        continue;
      }
      const Wrapped = (await wrapFor(seal.id, seal.dataKey, publicKey)).toBase64();
      const SecretID = name.slice(name.indexOf("/") + 1);
      stale.push({ SecretID, SealID: seal.id, PublicKeyDigest, Wrapped });
    }
    return stale;
  }

  /** Managers have taken these. */
  sealsRenewed(seals: readonly RenewedSeal[]): void {
    for (const { SecretID, SealID, PublicKeyDigest } of seals) {
      const seal = this.#held.get(recordName("secret", SecretID))?.seal;
      if (seal?.id === SealID) seal.digest = PublicKeyDigest;
    }
  }

  /** Resolves when all that was taken over so far is on its way to the disk. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** What a template gets of the task's other secrets and configs, by their targets and as they were given (SwarmKit). */
  #textOf(kind: DependencyKind, references: readonly Dependency[]): (target: string) => string {
    return (target) => {
      const reference = references.find(({ Kind, File }) => Kind === kind && File.Name === target);
      if (!reference) throw new CoveyError("invalid_argument", `${kind} target ${target} not found`);
      const name = recordName(kind, reference.ID), held = this.#held.get(name);
      if (!held) throw this.#missing(kind, reference.Name, name);
      return textIn(held.bytes);
    };
  }

  #names(): Set<string> {
    return new Set([...this.#held.keys(), ...this.#unreadable, ...this.#told.keys()]);
  }

  #missing(kind: DependencyKind, title: string, name: string): CoveyError {
    const closed = this.#closed.get(name);
    if (closed !== undefined) return new CoveyError("unavailable", `Cannot read ${kind} ${title}: ${closed}`);
    if (this.#unreadable.has(name)) {
      const why = "it was sealed with another key than this node has now, and no manager has sent it again";
      return new CoveyError("unavailable", `Cannot read ${kind} ${title}: ${why}`);
    }
    return this.#isTold
      ? new CoveyError("not_found", `Cannot read ${kind} ${title}: the cluster does not have it any more`)
      : new CoveyError("unavailable", `Cannot read ${kind} ${title}: no manager has sent it yet`);
  }

  #keep(kind: DependencyKind, payload: DependencyPayload): void {
    const { ID, Data, Templating, Sealed } = payload, name = recordName(kind, ID);
    if (Sealed !== undefined) {
      this.#told.set(name, payload);
      return this.#enqueue(() => this.#open(name, payload));
    }
    const bytes = Uint8Array.fromBase64(Data), before = this.#held.get(name);
    const held: Held = { bytes, isTemplate: Templating !== undefined };
    if (before && same(before.bytes, bytes) && before.isTemplate === held.isTemplate) return;
    this.#hold(name, held);
  }

  #hold(name: string, held: Held): void {
    this.#held.set(name, held);
    this.#unreadable.delete(name);
    this.#enqueue(async () => {
      const key = await this.#ensureKey();
      if (!key) return;
      const sealed = await seal(key, recordOf(held), name);
      if (this.#held.get(name) === held) this.#state.putSealed(name, sealed);
    });
  }

  /** Opens a secret that a client has sealed. What is there already stays: a secret does not change, whoever says so. */
  async #open(name: string, payload: DependencyPayload): Promise<void> {
    const { Data, Sealed } = payload, { ID: id, PublicKeyDigest: digest, Wrapped } = Sealed!;
    const held = this.#held.get(name);
    if (held?.seal?.id === id) {
      held.seal.digest = digest;
      return;
    }
    const dataKey = Wrapped === undefined
      ? undefined
      : await this.#unwrap(id, Uint8Array.fromBase64(Wrapped));
    const bytes = dataKey && await openSecret(id, Uint8Array.fromBase64(Data), dataKey);
    if (this.#told.get(name) !== payload) return;
    this.#closed.delete(name);
    if (held && bytes && !same(held.bytes, bytes)) {
      log.warn("A sealed secret was sealed again with other bytes: this node keeps those that it has");
    } else if (dataKey && bytes) {
      this.#hold(name, { bytes, isTemplate: false, seal: { id, dataKey, digest } });
    } else if (!held) {
      this.#closed.set(
        name,
        Wrapped === undefined
          ? "it is sealed, and not for this node: covey secret seal makes up for it"
          : "it is sealed for another key than this node has: covey secret seal makes up for it",
      );
    }
  }

  async #unwrap(id: string, wrapped: Bytes): Promise<Bytes | undefined> {
    for (const privateKey of await this.#keys()) {
      const found = await unwrap(id, wrapped, decodeSinglePEM("PRIVATE KEY", privateKey));
      if (found) return found;
    }
  }

  #forget(name: string): void {
    this.#held.delete(name);
    this.#unreadable.delete(name);
    this.#told.delete(name);
    this.#closed.delete(name);
    this.#state.putSealed(name, undefined);
    if (this.#held.size + this.#unreadable.size > 0) return;
    // What a disk may still have of the records is sealed with a key that is gone.
    this.#enqueue(() => {
      if (this.#held.size + this.#unreadable.size > 0) return Promise.resolve();
      this.#dataKey = this.#sealedFor = undefined;
      this.#state.putSealed(KEY_RECORD, undefined);
      return Promise.resolve();
    });
  }

  async #findKey(): Promise<SealKey | undefined> {
    const sealed = this.#state.sealed().get(KEY_RECORD);
    if (!sealed) return undefined;
    const keys = await this.#keys().catch(() => []);
    for (const [index, privateKey] of keys.entries()) {
      const key = await unsealDataKey(sealed, privateKey);
      if (!key) continue;
      this.#dataKey = key;
      if (index === 0) this.#sealedFor = privateKey;
      else await this.#putKey(keys[0]!);
      return key;
    }
  }

  async #ensureKey(): Promise<SealKey | undefined> {
    if (this.#dataKey) return this.#dataKey;
    const [present] = await this.#keys();
    if (present === undefined) return undefined;
    this.#dataKey = await newDataKey();
    await this.#putKey(present);
    return this.#dataKey;
  }

  async #putKey(privateKey: string): Promise<void> {
    this.#state.putSealed(KEY_RECORD, await sealDataKey(this.#dataKey!, privateKey));
    this.#sealedFor = privateKey;
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((thrown) => {
      const { message } = CoveyError.from(thrown);
      log.warn("Secrets and configs are kept in memory only for the moment: {message}", { message });
    });
  }
}

function isPayload(change: AssignmentChange): change is DependencyChange {
  return change.Kind === "secret" || change.Kind === "config";
}

function recordOf({ bytes, isTemplate, seal }: Held): Bytes {
  const head = seal
    ? [OPENED, ...seal.dataKey, ...Uint8Array.fromHex(seal.id)]
    : [isTemplate ? TEMPLATE : PLAIN];
  const record = new Uint8Array(head.length + bytes.length);
  record.set(head);
  record.set(bytes, head.length);
  return record;
}

function heldIn(record: Bytes): Held {
  if (record[0] !== OPENED) return { bytes: record.subarray(1), isTemplate: record[0] === TEMPLATE };
  const keyEnd = 1 + DATA_KEY_BYTES, end = keyEnd + SEAL_ID_BYTES;
  const seal = { id: record.slice(keyEnd, end).toHex(), dataKey: record.slice(1, keyEnd), digest: undefined };
  return { bytes: record.subarray(end), isTemplate: false, seal };
}

function recordName(kind: DependencyKind, id: string): string {
  return `${kind}/${id}`;
}

/** A template as `task` gets it. What is wrong is said without a word of a secret. */
function filledIn(
  { Kind, Name }: Dependency,
  bytes: Uint8Array,
  task: Task,
  node: NodeDescription,
  functions: Parameters<typeof expandPayload>[3],
): Uint8Array {
  try {
    return new TextEncoder().encode(expandPayload(task, node, textIn(bytes), functions));
  } catch (cause) {
    // What the node has yet to hear of comes by itself.
    if (cause instanceof CoveyError && cause.retryable) throw cause;
    const why = Kind === "secret" ? "a placeholder cannot be filled in" : CoveyError.from(cause).message;
    throw new CoveyError("invalid_argument", `Cannot expand ${Kind} ${Name}: ${why}`);
  }
}

function textIn(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
