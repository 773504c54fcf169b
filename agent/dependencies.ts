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
import type { AssignmentChange, DependencyChange } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { NodeDescription } from "../api/node.ts";
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
import type { LocalState } from "./local_state.ts";

const log = getLogger(["covey", "agent"]);

/** The record that holds the data key; all others are named KIND/ID. */
const KEY_RECORD = "key";

/** The device's private keys (PEM), the present one first, then the one before. */
export type DeviceKeys = () => Promise<string[]>;

interface Held {
  bytes: Uint8Array<ArrayBuffer>;
  isTemplate: boolean;
}

/** Keeps what tasks of this node depend on. */
export class DependencyKeeper {
  readonly #state: LocalState;
  readonly #keys: DeviceKeys;
  readonly #held = new Map<string, Held>();
  readonly #unreadable = new Set<string>();
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
      if (plain) this.#held.set(name, { bytes: plain.subarray(1), isTemplate: plain[0] === 1 });
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
    for (const name of [...this.#held.keys(), ...this.#unreadable]) if (!listed.has(name)) this.#forget(name);
    for (const change of changes) this.apply(change);
  }

  /** Takes over one change; what is there already is not written again. */
  apply(change: AssignmentChange): void {
    if (!isPayload(change)) return;
    if (change.Action === "remove") this.#forget(recordName(change.Kind, change.ID));
    else this.#keep(change.Kind, change.Payload);
  }

  /** What `task` may read; placeholders are filled in with what `node` says. */
  forTask(task: Task, node: () => Promise<NodeDescription>): Dependencies {
    const { ID } = task, references = dependenciesOf(task.Spec);
    return {
      read: async (kind, id) => {
        const reference = references.find((each) => each.Kind === kind && each.ID === id);
        if (!reference) {
          throw new CoveyError(
            "permission_denied",
            `Cannot read ${kind} ${id}: task ${ID} does not reference it`,
          );
        }
        const name = recordName(kind, id), held = this.#held.get(name);
        if (held?.isTemplate) return filledIn(reference, held.bytes, task, await node());
        if (held) return held.bytes;
        throw this.#missing(kind, reference.Name, name);
      },
    };
  }

  /** The node belongs to no cluster any more: nothing is kept, in memory or on disk. */
  async wipe(): Promise<void> {
    for (const name of [...this.#held.keys(), ...this.#unreadable]) this.#forget(name);
    await this.settled();
  }

  /** Seals the data key for the device's present private key, if that is another than before. */
  rekey(): Promise<void> {
    if (!this.#dataKey) return Promise.resolve();
    this.#enqueue(async () => {
      const [present] = await this.#keys();
      if (present !== undefined && present !== this.#sealedFor && this.#dataKey) await this.#putKey(present);
    });
    return this.settled();
  }

  /** Resolves when all that was taken over so far is on its way to the disk. */
  async settled(): Promise<void> {
    await this.#work;
  }

  #missing(kind: DependencyKind, title: string, name: string): CoveyError {
    if (this.#unreadable.has(name)) {
      const why = "it was sealed with another key than this node has now, and no manager has sent it again";
      return new CoveyError("unavailable", `Cannot read ${kind} ${title}: ${why}`);
    }
    return this.#isTold
      ? new CoveyError("not_found", `Cannot read ${kind} ${title}: the cluster does not have it any more`)
      : new CoveyError("unavailable", `Cannot read ${kind} ${title}: no manager has sent it yet`);
  }

  #keep(kind: DependencyKind, { ID, Data, Templating }: DependencyPayload): void {
    const bytes = Uint8Array.fromBase64(Data), name = recordName(kind, ID), before = this.#held.get(name);
    const held: Held = { bytes, isTemplate: Templating !== undefined };
    if (before && same(before.bytes, bytes) && before.isTemplate === held.isTemplate) return;
    this.#held.set(name, held);
    this.#unreadable.delete(name);
    this.#enqueue(async () => {
      const key = await this.#ensureKey();
      if (!key) return;
      const record = new Uint8Array(1 + bytes.length);
      record[0] = held.isTemplate ? 1 : 0;
      record.set(bytes, 1);
      const sealed = await seal(key, record, name);
      if (this.#held.get(name) === held) this.#state.putSealed(name, sealed);
    });
  }

  #forget(name: string): void {
    this.#held.delete(name);
    this.#unreadable.delete(name);
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

function recordName(kind: DependencyKind, id: string): string {
  return `${kind}/${id}`;
}

/** A template as `task` gets it. What is wrong is said without a word of a secret. */
function filledIn(
  { Kind, Name }: Dependency,
  bytes: Uint8Array,
  task: Task,
  node: NodeDescription,
): Uint8Array {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return new TextEncoder().encode(expandPayload(task, node, text));
  } catch (cause) {
    const why = Kind === "secret" ? "a placeholder cannot be filled in" : CoveyError.from(cause).message;
    throw new CoveyError("invalid_argument", `Cannot expand ${Kind} ${Name}: ${why}`);
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
