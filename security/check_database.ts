import { CoveyError } from "../api/errors.ts";

/** SQLite's results for a file whose contents are wrong; all others (full, busy, I/O error) say nothing of the contents. */
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/**
 * Checks a Deno KV file, which is made if there is none, before it is opened. Throws `data_loss` naming a damaged one, and
 * `unavailable` where the disk does not let it be read: that file may be whole, and must stay where it is.
 *
 * Deno KV looks for queued messages, and for records that expire, in a thread of its own, where a damaged page or index is a
 * panic that ends the process without a word that helps (m); SQLite itself says what is wrong. The check reads every page:
 * 3 ms for 300 KB.
 */
export async function checkDatabase(path: string): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  let problem: string;
  try {
    const database = new DatabaseSync(path);
    try {
      const [row] = database.prepare("PRAGMA integrity_check(1)").all();
      problem = String(row?.integrity_check ?? "ok");
    } finally {
      database.close();
    }
  } catch (cause) {
    const message = `Cannot open ${path}: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new CoveyError(isDamage(cause) ? "data_loss" : "unavailable", message, { cause });
  }
  if (problem === "ok") return;
  const what = problem.replace("*** in database main ***\n", "");
  throw new CoveyError("data_loss", `Cannot open ${path}: it is damaged: ${what}`);
}

/** An extended result has the plain one in its lowest byte. */
function isDamage(thrown: unknown): boolean {
  const result = ((thrown as { errcode?: number }).errcode ?? 0) & 0xff;
  return result === SQLITE_CORRUPT || result === SQLITE_NOTADB;
}

/** Rewrites a database file that nobody has open, so that nothing is in it but what it holds: what was deleted goes. */
export async function rewriteDatabase(path: string): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path);
  try {
    database.exec("VACUUM");
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    database.close();
  }
}
