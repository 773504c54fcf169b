/** One manager to a state folder: Deno KV itself lets two processes open one file. */
import { CoveyError } from "../../../api/errors.ts";

/**
 * A child shares its parent's locks between its fork and its exec, so a lock just given free may be held a moment longer.
 * Waited for is a tenth of a second in all.
 */
const MAX_ATTEMPTS = 5;
const RETRY_MS = 20;

/** Gives the folder free. */
export type Unlock = () => void;

/**
 * Locks `folder` for this process until it ends or calls the result. Throws `failed_precondition` naming
 * the folder if another holder has it.
 */
export async function lockFolder(folder: string): Promise<Unlock> {
  const file = await Deno.open(`${folder}/manager.lock`, { create: true, write: true, mode: 0o600 });
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    if (await file.tryLock(true)) return () => file.close();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  file.close();
  throw new CoveyError("failed_precondition", `Cannot use ${folder}: another manager is running on it`);
}
