/**
 * What an agent must know after a reboot or a kill, in Deno KV: its tasks, their statuses and handles, and how far it has
 * followed its assignments. Written only when something changed, everything of one turn in one transaction. Tasks are sealed
 * for the device's key, once {@linkcode LocalState.seal} was called:
 *
 *     task/ID/…          a task in clear, as versions without a seal wrote it
 *     sealed task/ID/…   the same, sealed
 *     seal               what they are sealed with, for the device's key
 *     clear              there were tasks in clear, whose bytes the file may still have
 */
import { CoveyError } from "../api/errors.ts";
import type { Task, TaskStatus } from "../api/task.ts";
import type { TaskState } from "../api/task_state.ts";
import type { Handle } from "../executors/executor.ts";
import { type BadVersion, MAX_BAD_VERSIONS } from "./bad_versions.ts";
import { type DeviceKeys, TaskSeal } from "./task_seal.ts";

/** How far a swap is; kept with the new task. */
export interface SwapRecord {
  /** The old task is told to rest. */
  begun?: true;
  /** The new task ran as long as it had to. */
  proven?: true;
  /** Agents that had a hand in it since it began. */
  starts: number;
  /** It failed, and that is among the bad versions, or was until somebody wanted it tried again. */
  noted?: true;
}

/** What is kept of a task. `assigned` is false once it only waits to be removed from the node. */
export interface TaskRecord {
  task: Task;
  status: TaskStatus;
  handle?: Handle;
  assigned: boolean;
  /** How far the present run is, while the task is run again in place and its status is further. */
  phase?: TaskState | undefined;
  /** Signals by which the running program has yet to be told of what changed. */
  reload?: string[] | undefined;
  /** How far the swap is that brings the task. */
  swap?: SwapRecord | undefined;
  /** Statuses of a time without a manager, the oldest first, that none has accepted yet. */
  unsent?: TaskStatus[] | undefined;
  /** It is a run of the scheduled job of that ID, for that time (RFC 3339). */
  run?: { of: string; at: string };
  /** Its program was stopped for its successor, and leaves traces to be removed before it runs again. */
  resting?: true | undefined;
}

/** What is kept of the node. */
export interface NodeRecord {
  /** Consensus index of the newest assignments seen. */
  index: number;
  /** The boot during which the tasks were last known to run; empty if the system does not say. */
  bootID: string;
}

/** Deno KV's limits are 64 KiB a value, 800 KiB and 1,000 changes a transaction; these keep well below. */
const MAX_VALUE_BYTES = 48 * 1024;
const MAX_TRANSACTION_BYTES = 512 * 1024;
const MAX_TRANSACTION_CHANGES = 500;

/** A record whose bytes only its writer can read. */
const SEALED = "sealed";

const TASK = "task", SEALED_TASK = "sealed task", SEAL = "seal", CLEAR = "clear";

/** A version that failed here. */
const BAD = "bad";

interface TaskParts {
  task: Uint8Array[];
  rest?: Uint8Array;
}

type Write = { key: Deno.KvKey; value: Uint8Array | undefined };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The store; everything is held in memory too, which is what reads see. */
export class LocalState {
  readonly #kv: Deno.Kv;
  readonly #tasks: Map<string, TaskRecord>;
  readonly #chunks: Map<string, number>;
  readonly #sealed: Map<string, Uint8Array<ArrayBuffer>>;
  readonly #bad: Map<string, BadVersion>;
  /** Keys of what is in clear, though there is a seal or could be one. */
  readonly #inClear: Map<string, Deno.KvKey>;
  #seal: TaskSeal | undefined;
  #hasClearBytes: boolean;
  #node: NodeRecord;
  #queue = new Map<string, Write>();
  #flushing: Promise<void> | undefined;
  #failed: CoveyError | undefined;

  private constructor(
    kv: Deno.Kv,
    found: FoundTasks,
    sealed: Map<string, Uint8Array<ArrayBuffer>>,
    bad: Map<string, BadVersion>,
    node: NodeRecord,
  ) {
    this.#kv = kv;
    this.#tasks = found.tasks;
    this.#chunks = found.chunks;
    this.#inClear = found.inClear;
    this.#seal = found.seal;
    this.#hasClearBytes = found.hasClearBytes;
    this.#sealed = sealed;
    this.#bad = bad;
    this.#node = node;
  }

  /**
   * Opens or creates the store at `path` (`:memory:` for tests). Records that cannot be read are dropped. Throws `data_loss` if
   * there are tasks and they were sealed for none of the device's keys.
   */
  static async open(path: string, keys?: DeviceKeys): Promise<LocalState> {
    return await LocalState.load(await Deno.openKv(path), keys);
  }

  /** As {@linkcode open}, from a store that nobody else uses; closes it if it throws. */
  static async load(kv: Deno.Kv, keys: DeviceKeys = () => Promise.resolve([])): Promise<LocalState> {
    try {
      const found = await loadTasks(kv, keys);
      const node = await kv.get<Uint8Array>(["node"]);
      const nodeRecord = { index: 0, bootID: "", ...parseJson<NodeRecord>(node.value) };
      return new LocalState(kv, found, await loadSealed(kv), await loadBad(kv), nodeRecord);
    } catch (thrown) {
      kv.close();
      throw thrown;
    }
  }

  /** True if it has tasks in clear, or may have their bytes. */
  get isInClear(): boolean {
    return this.#inClear.size > 0 || this.#hasClearBytes;
  }

  /** Seals all tasks from now on for the device that has these private keys, also those that are kept already. */
  seal([present]: readonly string[]): void {
    if (present === undefined) return;
    if (this.#seal === undefined) {
      this.#seal = TaskSeal.create(present);
      this.#enqueue([SEAL], this.#seal.bytes);
    }
    if (this.#inClear.size === 0) return;
    this.#hasClearBytes = true;
    this.#enqueue([CLEAR], new Uint8Array());
    for (const record of this.#tasks.values()) {
      this.#writeTask(record.task);
      this.#writeState(record);
    }
    // Last, so that a power cut in between leaves each task in one of the two.
    for (const key of this.#inClear.values()) this.#enqueue(key, undefined);
    this.#inClear.clear();
  }

  /** Seals for the first of these private keys, if that is another than before. */
  rekey([present]: readonly string[]): void {
    if (present !== undefined && this.#seal?.rekey(present)) this.#enqueue([SEAL], this.#seal.bytes);
  }

  /** Forgets what tasks were sealed with: the device's next key is another node's. */
  forgetSeal(): void {
    this.#seal = undefined;
    this.#enqueue([SEAL], undefined);
  }

  /** The file has no bytes of tasks in clear any more. */
  clearedBytes(): void {
    this.#hasClearBytes = false;
    this.#enqueue([CLEAR], undefined);
  }

  /** Every task on record. */
  tasks(): IterableIterator<TaskRecord> {
    return this.#tasks.values();
  }

  /** See {@linkcode NodeRecord}. */
  get node(): Readonly<NodeRecord> {
    return this.#node;
  }

  /** True while something waits to be written. */
  get writing(): boolean {
    return this.#flushing !== undefined;
  }

  /** Keeps `record`, which replaces the one before. Nothing is written of what did not change. */
  put(record: TaskRecord): void {
    const { ID } = record.task;
    const before = this.#tasks.get(ID);
    this.#tasks.set(ID, record);
    if (before?.task !== record.task) this.#writeTask(record.task);
    const unchanged = before && before.status === record.status && before.handle === record.handle &&
      before.assigned === record.assigned && before.phase === record.phase &&
      before.reload === record.reload &&
      before.swap === record.swap && before.resting === record.resting && before.unsent === record.unsent;
    if (!unchanged) this.#writeState(record);
  }

  /** Forgets a task. */
  delete(id: string): void {
    if (!this.#tasks.delete(id)) return;
    this.#keep([TASK, id, "state"], undefined);
    for (let n = 0; n < (this.#chunks.get(id) ?? 0); n++) this.#keep([TASK, id, "spec", n], undefined);
    this.#chunks.delete(id);
  }

  /** The sealed records by name. */
  sealed(): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
    return this.#sealed;
  }

  /** Keeps a sealed record, or with undefined forgets it. */
  putSealed(name: string, bytes: Uint8Array<ArrayBuffer> | undefined): void {
    const before = this.#sealed.get(name)?.length ?? 0;
    if (bytes) this.#sealed.set(name, bytes);
    else this.#sealed.delete(name);
    this.#writeChunks([SEALED, name], bytes ?? new Uint8Array(), chunksOf(before));
  }

  /** Versions that failed on this device, by their hash, the oldest first. */
  get badVersions(): ReadonlyMap<string, BadVersion> {
    return this.#bad;
  }

  /** Remembers a version that failed. */
  putBadVersion(hash: string, bad: BadVersion): void {
    this.#bad.set(hash, bad);
    this.#write([BAD, hash], JSON.stringify(bad));
    const [oldest] = this.#bad.keys();
    if (this.#bad.size > MAX_BAD_VERSIONS) this.deleteBadVersion(oldest!);
  }

  /** It is to be tried again. */
  deleteBadVersion(hash: string): void {
    if (this.#bad.delete(hash)) this.#enqueue([BAD, hash], undefined);
  }

  /** Keeps what is given of the node's record. */
  setNode(change: Partial<NodeRecord>): void {
    this.#node = { ...this.#node, ...change };
    this.#enqueue(["node"], encoder.encode(JSON.stringify(this.#node)));
  }

  /** Resolves when everything kept so far is on disk. Throws `data_loss` if it could not be written. */
  async flush(): Promise<void> {
    while (this.#flushing) await this.#flushing;
    if (this.#failed) throw this.#failed;
  }

  /** Flushes and closes. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.#kv.close();
    }
  }

  #writeState({ task, ...rest }: TaskRecord): void {
    this.#keep([TASK, task.ID, "state"], encoder.encode(JSON.stringify(rest)));
  }

  #writeTask(task: Task): void {
    const bytes = encoder.encode(JSON.stringify(task));
    this.#writeChunks([TASK, task.ID, "spec"], bytes, this.#chunks.get(task.ID) ?? 0);
    this.#chunks.set(task.ID, chunksOf(bytes.length));
  }

  /** Writes `bytes` in parts under `key`, where `before` parts are now. */
  #writeChunks(key: Deno.KvKey, bytes: Uint8Array, before: number): void {
    const count = chunksOf(bytes.length);
    for (let n = 0; n < count; n++) {
      this.#keep([...key, n], bytes.slice(n * MAX_VALUE_BYTES, (n + 1) * MAX_VALUE_BYTES));
    }
    for (let n = count; n < before; n++) this.#keep([...key, n], undefined);
  }

  /** What is of a task is sealed, if there is a seal. */
  #keep(key: Deno.KvKey, value: Uint8Array | undefined): void {
    if (key[0] !== TASK) return this.#enqueue(key, value);
    if (this.#seal === undefined) {
      if (value) this.#inClear.set(key.join("/"), key);
      else this.#inClear.delete(key.join("/"));
      return this.#enqueue(key, value);
    }
    const sealed = [SEALED_TASK, ...key.slice(1)];
    this.#enqueue(sealed, value && this.#seal.seal(value, sealed.join("/")));
  }

  #write(key: Deno.KvKey, json: string): void {
    this.#enqueue(key, encoder.encode(json));
  }

  #enqueue(key: Deno.KvKey, value: Uint8Array | undefined): void {
    this.#queue.set(key.join("/"), { key, value });
    this.#flushing ??= this.#run().finally(() => this.#flushing = undefined);
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    while (this.#queue.size > 0) {
      const writes = [...this.#queue.values()];
      this.#queue = new Map();
      try {
        for (const batch of batches(writes)) await this.#commit(batch);
        this.#failed = undefined;
      } catch (thrown) {
        this.#failed = new CoveyError("data_loss", `Cannot write the agent's state: ${String(thrown)}`, {
          cause: thrown,
        });
        this.#retryLater(writes);
        return;
      }
    }
  }

  /** A full disk may have room again: what could not be written goes along with the next change. */
  #retryLater(writes: Write[]): void {
    const newer = this.#queue;
    this.#queue = new Map(writes.map((write) => [write.key.join("/"), write]));
    for (const [key, write] of newer) this.#queue.set(key, write);
  }

  async #commit(writes: Write[]): Promise<void> {
    const atomic = this.#kv.atomic();
    for (const { key, value } of writes) value ? atomic.set(key, value) : atomic.delete(key);
    await atomic.commit();
  }
}

function* batches(writes: Write[]): Generator<Write[]> {
  let batch: Write[] = [];
  let size = 0;
  for (const write of writes) {
    const bytes = write.value?.length ?? 0;
    if (batch.length === MAX_TRANSACTION_CHANGES || size + bytes > MAX_TRANSACTION_BYTES) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(write);
    size += bytes;
  }
  if (batch.length > 0) yield batch;
}

function chunksOf(bytes: number): number {
  return Math.ceil(bytes / MAX_VALUE_BYTES);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** One that lost a part is found out by whoever unseals it. */
async function loadSealed(kv: Deno.Kv): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const parts = new Map<string, Uint8Array[]>();
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: [SEALED] })) {
    const name = String(key[1]);
    parts.set(name, [...parts.get(name) ?? [], value]);
  }
  return new Map([...parts].map(([name, chunks]) => [name, joined(chunks)]));
}

async function loadBad(kv: Deno.Kv): Promise<Map<string, BadVersion>> {
  const found: [string, BadVersion][] = [];
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: [BAD] })) {
    const bad = parseJson<BadVersion>(value);
    if (bad) found.push([String(key[1]), bad]);
  }
  return new Map(found.sort(([, a], [, b]) => a.At < b.At ? -1 : 1));
}

interface FoundTasks {
  tasks: Map<string, TaskRecord>;
  chunks: Map<string, number>;
  inClear: Map<string, Deno.KvKey>;
  seal: TaskSeal | undefined;
  hasClearBytes: boolean;
}

async function loadTasks(kv: Deno.Kv, keys: DeviceKeys): Promise<FoundTasks> {
  const inClear = new Map<string, Deno.KvKey>(), clear = new Map<string, TaskParts>();
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: [TASK] })) {
    inClear.set(key.join("/"), key);
    addPart(clear, key, value);
  }
  const { value: sealBytes } = await kv.get<Uint8Array<ArrayBuffer>>([SEAL]);
  const seal = sealBytes ? TaskSeal.open(sealBytes, await keys()) : undefined;
  const sealed = new Map<string, TaskParts>();
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: [SEALED_TASK] })) {
    if (!seal) {
      throw new CoveyError(
        "data_loss",
        "Cannot read this node's tasks: they cannot be unsealed with its key",
      );
    }
    addPart(sealed, key, seal.unseal(value, key.join("/")) ?? new Uint8Array());
  }
  const tasks = new Map<string, TaskRecord>(), chunks = new Map<string, number>();
  // Where a power cut ended the sealing, one may be there twice.
  for (const [id, part] of [...clear, ...sealed]) {
    const record = parseRecord(part);
    if (record) tasks.set(id, record);
    chunks.set(id, Math.max(part.task.length, chunks.get(id) ?? 0));
  }
  const hasClearBytes = (await kv.get([CLEAR])).value !== null;
  return { tasks, chunks, inClear, seal, hasClearBytes };
}

function addPart(parts: Map<string, TaskParts>, [, id, kind]: Deno.KvKey, value: Uint8Array): void {
  const part = parts.get(String(id)) ?? { task: [] };
  parts.set(String(id), part);
  if (kind === "spec") part.task.push(value);
  else part.rest = value;
}

function parseRecord(part: TaskParts): TaskRecord | undefined {
  const task = parseJson<Task>(joined(part.task));
  const rest = parseJson<Omit<TaskRecord, "task">>(part.rest);
  return task && rest ? { task, ...rest } : undefined;
}

function parseJson<T>(bytes: Uint8Array | null | undefined): T | undefined {
  try {
    return bytes ? JSON.parse(decoder.decode(bytes)) : undefined;
  } catch {
    return undefined;
  }
}
