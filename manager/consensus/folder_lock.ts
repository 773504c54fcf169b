/** One manager to a state folder: Deno KV itself lets two processes open one file. */
import { CoveyError } from "../../api/errors.ts";

/** Gives the folder free. */
export type Unlock = () => void;

/**
 * Locks `folder` for this process until it ends or calls the result. Throws `failed_precondition` naming
 * the folder if another holder has it.
 */
export async function lockFolder(folder: string): Promise<Unlock> {
  const file = await Deno.open(`${folder}/manager.lock`, { create: true, write: true, mode: 0o600 });
  if (await file.tryLock(true)) return () => file.close();
  file.close();
  throw new CoveyError("failed_precondition", `Cannot use ${folder}: another manager is running on it`);
}
