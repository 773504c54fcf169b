/** Reads the log of one task for one ask, through the task's restarts, and no further ahead than somebody takes it. */
import { type Clock, sleep } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { entryBytes, type LogAsk, type LogEntry, MAX_LOG_ERROR_LENGTH } from "../api/logs.ts";
import { TokenBucket } from "../api/rate_limiter.ts";
import { can } from "../executors/executor.ts";
import type { TaskAccess } from "./worker.ts";

/** Bytes a second of one task's log that leave the node (SwarmKit's 10 MB/s); a program that prints more has gaps. */
const MAX_BYTES_PER_SECOND = 10e6;
/** Pause when that is used up. */
const RATE_PAUSE_MS = 100;

/** The node's tasks, as the worker has them. */
export interface Tasks {
  access(taskID: string): TaskAccess | undefined;
  watch(taskID: string, wake: () => void): () => void;
}

/** Where what is read goes. */
export interface FeedTarget {
  /** Resolves when more may come. */
  take(entry: LogEntry): Promise<void> | undefined;
  caughtUp(): void;
  /** Nothing more comes; `error` says why there is not all. */
  ended(error?: string): void;
}

/** Reads until the log is over or `signal` aborts. Never rejects. */
export async function feedLog(
  { clock, tasks }: { clock: Clock; tasks: Tasks },
  taskID: string,
  ask: LogAsk,
  target: FeedTarget,
  signal: AbortSignal,
): Promise<void> {
  const rate = new TokenBucket({ clock, burst: MAX_BYTES_PER_SECOND, perSecond: MAX_BYTES_PER_SECOND });
  let tail = ask.Tail, after = ask.After, changed = Promise.withResolvers<void>();
  const wake = () => changed.resolve();
  const unwatch = tasks.watch(taskID, wake);
  signal.addEventListener("abort", wake);
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers();
      const access = tasks.access(taskID);
      for await (const step of stepsOf(access, { ...ask, Tail: tail, After: after }, signal)) {
        if (step === "caught up") {
          target.caughtUp();
          tail = undefined;
          continue;
        }
        while (!rate.take(Math.min(entryBytes(step), MAX_BYTES_PER_SECOND))) {
          await sleep(clock, RATE_PAUSE_MS, signal);
        }
        // An executor's two streams may be a little out of order.
        if (after === undefined || step.Time > after) after = step.Time;
        await target.take({ ...step, TaskID: taskID });
      }
      target.caughtUp();
      tail = undefined;
      if (!ask.Follow || access?.over) break;
      await changed.promise;
    }
    target.ended();
  } catch (thrown) {
    if (signal.aborted) return target.ended();
    const why = CoveyError.from(thrown).message.slice(0, MAX_LOG_ERROR_LENGTH / 2);
    target.ended(`task ${taskID}: ${why}`);
  } finally {
    unwatch();
    signal.removeEventListener("abort", wake);
  }
}

async function* stepsOf(access: TaskAccess | undefined, ask: Wanted, signal: AbortSignal) {
  if (access?.handle === undefined) return;
  const { executor, handle } = access;
  if (executor === undefined || !can(executor, "logs")) {
    throw new CoveyError("unimplemented", `the executor of the task has no logs to show`);
  }
  const { Streams: streams, Follow: follow, Tail: tail, Since: since, After: after } = ask;
  yield* executor.logs(handle, { streams, follow, tail, since, after }, signal);
}

type Wanted = Omit<LogAsk, "Tail" | "After"> & { Tail: number | undefined; After: string | undefined };
