/**
 * Time for a device whose clock may be unset: the larger of the system clock and the last authenticated time,
 * which itself runs on with the monotonic clock.
 */
import { createHash } from "node:crypto";
import type { CancelTimer, Clock } from "../api/clock.ts";
import { type FileSystem, writeFileAtomically } from "./file_system.ts";

const FILE = "clock-floor";
const FILE_MODE = 0o600;
/** Two clocks that are well differ by less. */
const MAX_BEHIND_MS = 60_000;

/** Settings of {@linkcode ClockFloor}; times are milliseconds since 1970. */
export interface ClockFloorOptions {
  clock: Clock;
  /** Where `persist` keeps the floor; the folder must exist. */
  storage?: { fs: FileSystem; folder: string };
  /** Authenticated times at or after this are ignored: believing them would lock the node out for good. */
  ceilingMs?: number;
}

/** A clock that never shows a time before one that was proved to have passed. */
export class ClockFloor implements Clock {
  readonly #clock: Clock;
  readonly #storage: ClockFloorOptions["storage"];
  #ceiling: number;
  #floor = 0;
  #floorSetAt: number;
  #told = false;
  /** Whether a floor was learnt that is not on disk. */
  #unsaved = false;

  constructor(options: ClockFloorOptions) {
    this.#clock = options.clock;
    this.#storage = options.storage;
    this.#ceiling = options.ceilingMs ?? Infinity;
    this.#floorSetAt = options.clock.monotonic();
  }

  now(): number {
    return Math.max(this.#clock.now(), this.#running());
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  setTimer(delayMs: number, run: () => void): CancelTimer {
    return this.#clock.setTimer(delayMs, run);
  }

  /** How far the system clock is behind the floor, milliseconds; 0 when it is not. */
  get behindMs(): number {
    return this.now() - this.#clock.now();
  }

  /**
   * False while the time is only known to be later than that shown: the system clock is behind what has passed, and nobody
   * has said since the start how late it is.
   */
  get isKnown(): boolean {
    return this.#told || this.#clock.now() >= this.#running() - MAX_BEHIND_MS;
  }

  /** Learns the present time from an authenticated peer. */
  tell(authenticatedMs: number): void {
    this.observe(authenticatedMs);
    this.#told ||= Number.isFinite(authenticatedMs) && authenticatedMs < this.#ceiling;
  }

  /** Learns a time that an authenticated peer or a verified certificate proves to have passed. */
  observe(authenticatedMs: number): void {
    if (!Number.isFinite(authenticatedMs) || authenticatedMs >= this.#ceiling) return;
    if (authenticatedMs <= this.#running()) return;
    this.#floor = authenticatedMs;
    this.#floorSetAt = this.#clock.monotonic();
    this.#unsaved = true;
  }

  /** Trusts a pinned root: its start has passed, and no time after its end is believed. */
  seed(root: { notBefore: number; notAfter: number }): void {
    this.#ceiling = Math.min(this.#ceiling, root.notAfter);
    this.observe(root.notBefore);
  }

  /** Reads the floor of the last run; a missing or damaged file counts as none. */
  async load(): Promise<void> {
    if (!this.#storage) return;
    const data = await this.#storage.fs.readFile(`${this.#storage.folder}/${FILE}`);
    const [time = "", checksum] = new TextDecoder().decode(data).trimEnd().split(" ");
    if (checksum !== checksumOf(time)) return;
    this.observe(Date.parse(time));
    this.#unsaved = false;
  }

  /** Writes the floor if one was learnt since the last call; call it when something else is written anyway. */
  async persist(): Promise<void> {
    if (!this.#storage || !this.#unsaved) return;
    this.#unsaved = false;
    const time = new Date(this.#running()).toISOString();
    const text = new TextEncoder().encode(`${time} ${checksumOf(time)}\n`);
    try {
      await writeFileAtomically(this.#storage.fs, this.#storage.folder, FILE, text, FILE_MODE);
    } catch (error) {
      this.#unsaved = true;
      throw error;
    }
  }

  #running(): number {
    return this.#floor === 0 ? 0 : this.#floor + this.#clock.monotonic() - this.#floorSetAt;
  }
}

/** Guards against a flipped digit: a floor years ahead would make every certificate look expired. */
function checksumOf(time: string): string {
  return createHash("sha256").update(time).digest("hex").slice(0, 16);
}
