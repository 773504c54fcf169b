/** What executors share that let somebody get at the inside of tasks. */
import { CoveyError } from "../api/errors.ts";
import type { OutputFrame } from "../api/stream_frames.ts";
import { MAX_FRAME_PAYLOAD } from "../api/stream_frames.ts";
import type { Task } from "../api/task.ts";
import { askShim } from "./ask_shim.ts";

/** Where bytes come from; null at the end. */
export interface ByteSource {
  read(into: Uint8Array): Promise<number | null>;
}

/** What `source` gives, as frames; no more is read than is taken. */
export async function* framesFrom(
  source: ByteSource,
  kind: "output" | "errors",
): AsyncGenerator<OutputFrame, void> {
  const buffer = new Uint8Array(MAX_FRAME_PAYLOAD);
  for (let count = await source.read(buffer); count !== null; count = await source.read(buffer)) {
    if (count > 0) yield { kind, data: buffer.slice(0, count) };
  }
}

/** All of `sources`, as they come; one item of each is asked for ahead. */
export async function* merged<T>(...sources: AsyncIterator<T>[]): AsyncGenerator<T, void> {
  const waiting = new Map<AsyncIterator<T>, Promise<[AsyncIterator<T>, IteratorResult<T>]>>();
  const pull = (source: AsyncIterator<T>) => {
    const next = source.next().then((result) => [source, result] as [AsyncIterator<T>, IteratorResult<T>]);
    next.catch(() => {});
    waiting.set(source, next);
  };
  sources.forEach(pull);
  while (waiting.size > 0) {
    const [source, { done, value }] = await Promise.race(waiting.values());
    waiting.delete(source);
    if (done) continue;
    yield value;
    pull(source);
  }
}

/** Throws `permission_denied` unless the device's own list lets `kind` into tasks of the service. */
export async function checkLetIn(shim: string, kind: "exec" | "copy" | "forward", task: Task): Promise<void> {
  const said = (await askShim(shim, ["may", kind, serviceOf(task)])).trimEnd();
  if (said === "let in") return;
  const why = said.startsWith("refused ") ? said.slice("refused ".length) : "the shim does not say why";
  throw new CoveyError("permission_denied", `Cannot enter the task: ${why}`);
}

/** By which name the device's list knows the task. */
export function serviceOf({ ServiceAnnotations, ServiceID, ID }: Task): string {
  return ServiceAnnotations?.Name || ServiceID || ID;
}
