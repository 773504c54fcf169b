/** What waits to be sent to one member. */
import type { CancelTimer, Clock } from "../../../api/clock.ts";
import type { RaftHello, RaftMessages } from "../../../api/raft.ts";
import type { Message } from "../../raft/mod.ts";
import { encodeMessage, messageBytes } from "./wire.ts";

/** Bytes that may wait: twice what the core has under way to one follower. */
const MAX_QUEUE_BYTES = 16 * 1024 * 1024;
/** Messages that may wait. */
const MAX_QUEUE_MESSAGES = 8192;
/** Bytes of messages in one item of the stream; a larger message travels alone. */
const MAX_ITEM_BYTES = 1024 * 1024;

/** Time between two messages with news of commits alone. */
const NOTICE_INTERVAL_MS = 5;
/**
 * Entries that follow each other faster than this are a load: news of commits then wait as long for the next ones, which
 * says the same with a message less each way.
 */
const LOAD_INTERVAL_MS = 20;

/**
 * Messages to one member, as the items of one stream. What carries no entries overtakes what does, so that a
 * heartbeat is not held up by megabytes; entries stay in order among themselves.
 */
export class MessageQueue implements AsyncIterable<RaftHello | RaftMessages> {
  readonly #hello: RaftHello;
  readonly #clock: Clock;
  #urgent: Message[] = [];
  #appends: Message[] = [];
  #bytes = 0;
  #ended = false;
  #wake = () => {};
  /** The newest append without entries, while it waits for one with entries, which says all that it says. */
  #notice: Message | undefined;
  #cancelNotice: CancelTimer | undefined;
  #nextNotice = -Infinity;
  /** When entries were last sent, and how long after those before. */
  #entriesAt = -Infinity;
  #entriesGapMs = Infinity;

  constructor(hello: RaftHello, clock: Clock) {
    this.#hello = hello;
    this.#clock = clock;
  }

  /** False if there is no room: the message is dropped. */
  push(message: Message): boolean {
    if (this.#ended) return false;
    if (message.type === "append" && message.entries.length === 0) return this.#hold(message);
    const last = this.#urgent.at(-1);
    if (last !== undefined && says(message, last)) {
      this.#urgent[this.#urgent.length - 1] = message;
      return true;
    }
    if (message.type === "append") this.#noteEntries();
    // The reader can go on only once it has applied up to the read's index: tell it the commit index along with the answer.
    if (message.type === "read_index_response" && this.#notice) this.#addNotice(this.#notice);
    return this.#add(message);
  }

  /** Sends nothing more. */
  end(): void {
    this.#ended = true;
    this.#cancelNotice?.();
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RaftHello | RaftMessages, void> {
    yield this.#hello;
    while (!this.#ended) {
      const messages = this.#take();
      if (messages.length > 0) yield { Messages: messages.map(encodeMessage) };
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #add(message: Message): boolean {
    const bytes = messageBytes(message);
    const full = this.#urgent.length + this.#appends.length >= MAX_QUEUE_MESSAGES ||
      (this.#bytes > 0 && this.#bytes + bytes > MAX_QUEUE_BYTES);
    if (full) return false;
    this.#bytes += bytes;
    (message.type === "append" ? this.#appends : this.#urgent).push(message);
    this.#wake();
    return true;
  }

  #noteEntries(): void {
    const now = this.#clock.monotonic();
    this.#entriesGapMs = now - this.#entriesAt;
    this.#entriesAt = now;
    this.#notice = undefined;
  }

  /** Sends news of a commit alone, now or in a moment. */
  #hold(message: Message): boolean {
    const now = this.#clock.monotonic();
    const isLoad = this.#entriesGapMs < LOAD_INTERVAL_MS && now < this.#entriesAt + LOAD_INTERVAL_MS;
    const due = isLoad ? this.#entriesAt + LOAD_INTERVAL_MS : this.#nextNotice;
    if (now >= due) return this.#addNotice(message);
    this.#notice = message;
    this.#cancelNotice ??= this.#clock.setTimer(due - now, () => {
      this.#cancelNotice = undefined;
      if (this.#notice) this.#hold(this.#notice);
    });
    return true;
  }

  #addNotice(message: Message): boolean {
    this.#nextNotice = this.#clock.monotonic() + NOTICE_INTERVAL_MS;
    this.#notice = undefined;
    return this.#add(message);
  }

  #take(): Message[] {
    const taken = this.#urgent;
    this.#urgent = [];
    let bytes = taken.length === 0 ? 0 : taken.reduce((sum, message) => sum + messageBytes(message), 0);
    let count = 0;
    while (count < this.#appends.length) {
      const size = messageBytes(this.#appends[count]!);
      if (bytes > 0 && bytes + size > MAX_ITEM_BYTES) break;
      bytes += size;
      count++;
    }
    for (const message of this.#appends.splice(0, count)) taken.push(message);
    this.#bytes -= bytes;
    return taken;
  }
}

/** Whether `message` says all that `last` says: of several acknowledgements the newest is enough. */
function says(message: Message, last: Message): boolean {
  return message.type === "append_response" && last.type === "append_response" && !message.rejected &&
    !last.rejected && message.term === last.term && message.index >= last.index;
}
