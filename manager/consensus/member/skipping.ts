/** Passing over what a member cannot read, because its operator says so: docs/operations/unreadable.md. */
import { getLogger } from "@logtape/logtape";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import type { DiskStorage } from "../disk/disk_storage.ts";
import type { LogEntry } from "../disk/entry_batch.ts";
import type { DirtyRecord, StateImage, StateMachine } from "../state_machine.ts";
import { unframe } from "./entry_frame.ts";

/** What to pass over: indexes of entries, and keys of records of the stored state. */
export interface Skip {
  entries: readonly number[];
  records: readonly string[];
}

/** Where the way on is described. */
const MANUAL = "docs/operations/unreadable.md says how to go on";

const logger = getLogger(["covey", "quorum"]);

/** The error of an entry that was committed and cannot be read. */
export function unreadableEntry(index: number, term: number, cause: unknown): unknown {
  // Anything else is a fault of what follows, not of the bytes.
  if (!hasCode(cause, "data_loss", "unimplemented")) return cause;
  const message = `Cannot apply entry ${index} of term ${term}: ${cause.message}; ${MANUAL}`;
  return new CoveyError(cause.code, message, { cause });
}

/**
 * Has `storage` remember what is to be passed over, for this start and all that follow. Throws `failed_precondition` for an
 * entry that is not there, says something else than what is written, or can be read.
 */
export async function noteSkips(storage: DiskStorage, machine: StateMachine, skip: Skip): Promise<void> {
  const asked = skip.entries.length + skip.records.length;
  // On a new folder there is nothing yet: a flag may outlive what it was meant for.
  if (asked === 0 || storage.identity === undefined) return;
  const entries = [];
  for (const index of skip.entries) {
    if (index <= storage.checkpointIndex) {
      logger.warn("Entry {index} is in the stored state already, there is nothing to skip", { index });
    } else if (!storage.skipped.entries.some((known) => known.index === index)) {
      entries.push(await unreadableAt(storage, machine, index));
    }
  }
  for (const { index, term } of entries) {
    logger.warn("Skips entry {index} of term {term}: what it wrote is lost here", { index, term });
  }
  await storage.skip({ entries, records: skip.records });
}

async function unreadableAt(storage: DiskStorage, machine: StateMachine, index: number) {
  const { log } = storage;
  const refuse = (why: string): never => {
    throw new CoveyError("failed_precondition", `Cannot skip entry ${index}: ${why}`);
  };
  if (index > log.lastIndex) refuse(`the log ends with ${log.lastIndex}`);
  const [entry] = await Array.fromAsync(log.read(index, index));
  const problem = problemOf(entry!, machine);
  if (problem === undefined) refuse("it can be read");
  if (!hasCode(problem, "data_loss")) refuse((problem as Error).message);
  return { index, term: entry!.term };
}

/** Why the state machine could not apply an entry. */
function problemOf({ kind, data }: LogEntry, machine: StateMachine): unknown {
  // The core's own, without which members would disagree on who they are.
  if (kind !== 0 || data.length === 0) return undefined;
  try {
    const framed = unframe(data);
    return framed.kind === "state" ? machine.unreadable(framed.data) : undefined;
  } catch (thrown) {
    return thrown;
  }
}

/** Adds a record of the stored state to `image`; one that cannot be read only if it is not to be skipped. */
export function addOrSkip(image: StateImage, record: DirtyRecord, skipped: readonly string[]): void {
  try {
    image.add(record);
  } catch (cause) {
    const { key } = record;
    if (!hasCode(cause, "data_loss")) throw cause;
    if (!skipped.includes(key)) {
      throw new CoveyError("data_loss", `${cause.message}; ${MANUAL}`, { cause });
    }
    logger.warn("Skips a record, which is lost: {message}", { message: cause.message });
    image.add({ key, value: undefined });
  }
}
