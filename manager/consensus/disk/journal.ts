/**
 * A file of fixed size in which small commits are made durable, before they get to the database behind it many at a time.
 * It has two halves: one is filled while what is in the other is written on.
 *
 *     record: crc32 u32 | generation f64 | number f64 | bytes u32 | payload      (big-endian), at the beginning of a sector
 *
 * Each filling of a half is a generation, numbered one after another, as the records are. A record is whole where its
 * checksum says so, and counts in a generation that is not in the database yet: nothing is ever wiped. Sectors that were
 * acknowledged are not written again before their generation has been written on, so a write that the power cuts off
 * damages nothing else.
 */
import { crc32 } from "node:zlib";
import { CoveyError } from "../../../api/errors.ts";

/** Bytes of a half: some hundreds of small commits, and a commit of the database that an SD card writes in 25 ms. */
const HALF_BYTES = 256 * 1024;
/** What is written at once: a disk writes whole sectors, or none of one. */
const SECTOR_BYTES = 512;
/** What the kernel keeps of a file in one piece, at least. */
const PAGE_BYTES = 4096;
const HEAD_BYTES = 24;
const CRC_BYTES = 4;

/** Bytes of a payload at most: what is larger gains nothing by being written twice. */
export const MAX_JOURNALED_BYTES = 32 * 1024;
/** Bytes of the file. */
export const JOURNAL_BYTES = 2 * HALF_BYTES;

/** Where a journal is kept. */
export interface JournalFile {
  /** Named in errors. */
  readonly path: string;
  /** All of it. */
  read(): Promise<Uint8Array>;
  /** Makes `bytes` durable at offset `at`; they may be changed as soon as this has returned. One call at a time. */
  write(at: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** A place in the order of all records. */
export interface JournalPlace {
  generation: number;
  /** Of the next record. */
  number: number;
}

/** The end of a journal, where it is written. */
export class Journal {
  readonly #file: JournalFile;
  #generation: number;
  #number: number;
  /** Bytes of the present half that are taken. */
  #taken = 0;
  readonly #buffer = new Uint8Array(sectors(MAX_JOURNALED_BYTES));

  /** Begins at `place`, whose generation must be above all that the file has. */
  constructor(file: JournalFile, { generation, number }: JournalPlace) {
    this.#file = file;
    this.#generation = generation;
    this.#number = number;
  }

  /** Where the next record will be. */
  get place(): JournalPlace {
    return { generation: this.#generation, number: this.#number };
  }

  /** Whether the present generation has room for a payload of `bytes`. */
  hasRoom(bytes: number): boolean {
    return this.#taken + sectors(bytes) <= HALF_BYTES;
  }

  /** Makes a payload durable in the present generation. */
  async append(payload: Uint8Array): Promise<void> {
    const size = sectors(payload.length), record = this.#buffer.subarray(0, size);
    const view = new DataView(record.buffer, 0, size);
    view.setFloat64(4, this.#generation);
    view.setFloat64(12, this.#number);
    view.setUint32(20, payload.length);
    record.set(payload, HEAD_BYTES);
    record.fill(0, HEAD_BYTES + payload.length);
    view.setUint32(0, crc32(record.subarray(CRC_BYTES, HEAD_BYTES + payload.length)));
    const at = halfOf(this.#generation) + this.#taken;
    this.#taken += size;
    this.#number++;
    await this.#file.write(at, record);
  }

  /** Begins the next generation, in the other half; the one that was there must have been written on. */
  turn(): void {
    this.#generation++;
    this.#taken = 0;
  }
}

/** A record as it was read. */
interface JournalRecord {
  number: number;
  payload: Uint8Array;
}

/**
 * The payloads of all records behind `written`, in order. Throws `data_loss` where one is damaged that others were written
 * behind. Of the last record nobody can say whether it was damaged or never finished, and nobody may have been told of it.
 */
export async function readJournal(file: JournalFile, written: JournalPlace): Promise<Uint8Array[]> {
  const bytes = await file.read(), { generation, number } = written;
  const records = [...recordsOf(bytes, generation + 1), ...recordsOf(bytes, generation + 2)];
  if (records.every((record, nth) => record.number === number + nth)) {
    return records.map(({ payload }) => payload);
  }
  throw new CoveyError("data_loss", `Cannot read ${file.path}: it is damaged before its last record`);
}

/** All whole records of a generation, wherever they stand. */
function recordsOf(bytes: Uint8Array, generation: number): JournalRecord[] {
  const start = halfOf(generation), half = bytes.subarray(start, start + HALF_BYTES);
  const records: JournalRecord[] = [];
  for (let at = 0; at + HEAD_BYTES <= half.length;) {
    const record = recordAt(half, at, generation);
    if (record !== undefined) records.push(record);
    at += record === undefined ? SECTOR_BYTES : sectors(record.payload.length);
  }
  return records;
}

function recordAt(half: Uint8Array, at: number, generation: number): JournalRecord | undefined {
  const view = new DataView(half.buffer, half.byteOffset + at);
  if (view.getFloat64(4) !== generation) return undefined;
  const end = at + HEAD_BYTES + view.getUint32(20);
  if (end > half.length || crc32(half.subarray(at + CRC_BYTES, end)) !== view.getUint32(0)) return undefined;
  return { number: view.getFloat64(12), payload: half.subarray(at + HEAD_BYTES, end) };
}

function halfOf(generation: number): number {
  return generation % 2 * HALF_BYTES;
}

/** Bytes that a record with a payload of `bytes` takes. */
function sectors(bytes: number): number {
  return Math.ceil((HEAD_BYTES + bytes) / SECTOR_BYTES) * SECTOR_BYTES;
}

/**
 * Opens the journal at `path`, making it, for its owner's eyes only, if need be; `syncFolder` keeps its name. Throws
 * `unavailable` where the disk has no room for it, or does not let it be opened.
 */
export async function openJournalFile(path: string, syncFolder: () => Promise<void>): Promise<JournalFile> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path, { create: true, read: true, write: true, mode: 0o600 });
    const { size } = await file.stat();
    if (size < JOURNAL_BYTES) {
      // Room that is there needs no more than its bytes on disk: neither a length nor a place has to be written with them. Page
      // by page, because Linux takes what is written at once for one large page, and each small write later for a write of it.
      for (let at = size; at < JOURNAL_BYTES;) {
        const rest = PAGE_BYTES - at % PAGE_BYTES;
        writeAt(file, at, new Uint8Array(rest));
        at += rest;
      }
      await file.sync();
      await syncFolder();
    }
    return journalFile(path, file);
  } catch (cause) {
    file?.close();
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new CoveyError("unavailable", `Cannot open ${path}: ${what}`, { cause });
  }
}

function journalFile(path: string, file: Deno.FsFile): JournalFile {
  return {
    path,
    read: () => Deno.readFile(path),
    // Into memory at once, which spares a thread's way there and back; only the disk is waited for.
    write: (at, bytes) => {
      writeAt(file, at, bytes);
      return file.syncData();
    },
    close: () => file.close(),
  };
}

function writeAt(file: Deno.FsFile, at: number, bytes: Uint8Array): void {
  file.seekSync(at, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}
