/** Backups as files: written whole or not at all, read as they lie or decrypted. */
import { type BackupEnd, type BackupHead, readBackup } from "../api/backup.ts";
import { CoveyError } from "../api/errors.ts";
import { cannot } from "./files.ts";
import { isSealed, seal, unseal } from "./sealed_stream.ts";

/** Bytes read from a file at once. */
const READ_BYTES = 256 * 1024;

/** A backup that was checked to its end. */
export interface CheckedBackup {
  head: BackupHead;
  end: BackupEnd;
}

/** Reads a whole backup and checks it. Errors are those of `readBackup`. */
export async function checkBackup(chunks: AsyncIterable<Uint8Array>): Promise<CheckedBackup> {
  let head: BackupHead | undefined, end: BackupEnd | undefined;
  for await (const frame of readBackup(chunks)) {
    if (frame.kind === "head") head = frame.head;
    if (frame.kind === "end") end = frame.end;
  }
  return { head: head!, end: end! };
}

/**
 * Writes a backup to `path` with mode 0600, encrypted if there is a passphrase, and checks what then is on
 * disk. Nothing is at `path`, or what was there stays, until that is done. `onBytes` hears how many have
 * come.
 */
export async function writeBackupFile(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  options: { passphrase: string | undefined; onBytes: (total: number) => void },
): Promise<CheckedBackup> {
  const { passphrase, onBytes } = options;
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  using file = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 }).catch((thrown) => {
    throw cannot(`write the backup ${path}`, thrown);
  });
  try {
    const counted = count(chunks, onBytes);
    await save(passphrase === undefined ? counted : seal(counted, passphrase), file);
    await file.sync();
    const checked = await checkBackup(readBackupFile(temporary, passphrase));
    await Deno.rename(temporary, path);
    return checked;
  } catch (thrown) {
    await Deno.remove(temporary).catch(() => {});
    throw thrown;
  }
}

/** Passes chunks on and tells how many bytes have come. */
export async function* count(
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (total: number) => void,
): AsyncGenerator<Uint8Array, void> {
  let total = 0;
  for await (const chunk of chunks) {
    onBytes(total += chunk.length);
    yield chunk;
  }
}

async function save(chunks: AsyncIterable<Uint8Array>, file: Deno.FsFile): Promise<void> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
  }
}

/**
 * The backup in a file, decrypted if need be. Throws `unauthenticated` if it is encrypted and there is no
 * passphrase.
 */
export async function* readBackupFile(
  path: string,
  passphrase: string | undefined,
): AsyncGenerator<Uint8Array, void> {
  const chunks = readFile(path);
  const first = await chunks.next();
  const begin = first.value ?? new Uint8Array();
  const whole = (async function* () {
    yield begin;
    yield* chunks;
  })();
  try {
    if (!isSealed(begin)) return yield* whole;
    if (passphrase === undefined) {
      throw new CoveyError(
        "unauthenticated",
        `Cannot read ${path}: it is encrypted; name the file with its passphrase (--passphrase-file)`,
      );
    }
    yield* unseal(whole, passphrase);
  } finally {
    await chunks.return();
  }
}

async function* readFile(path: string): AsyncGenerator<Uint8Array, void> {
  using file = await Deno.open(path).catch((thrown) => {
    throw cannot(`read the backup ${path}`, thrown);
  });
  for (;;) {
    const buffer = new Uint8Array(READ_BYTES);
    const length = await file.read(buffer);
    if (length === null) return;
    yield buffer.subarray(0, length);
  }
}
