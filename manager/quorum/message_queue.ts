/** What waits to be sent to one member. */
import type { RaftHello, RaftMessages } from "../../api/raft.ts";
import type { Message } from "../raft/mod.ts";
import { encodeMessage, messageBytes } from "./wire.ts";

/** Bytes that may wait: twice what the core has under way to one follower. */
const MAX_QUEUE_BYTES = 16 * 1024 * 1024;
/** Messages that may wait. */
const MAX_QUEUE_MESSAGES = 8192;
/** Bytes of messages in one item of the stream; a larger message travels alone. */
const MAX_ITEM_BYTES = 1024 * 1024;

/**
 * Messages to one member, as the items of one stream. What carries no entries overtakes what does, so that a
 * heartbeat is not held up by megabytes; entries stay in order among themselves.
 */
export class MessageQueue implements AsyncIterable<RaftHello | RaftMessages> {
  readonly #hello: RaftHello;
  #urgent: Message[] = [];
  #appends: Message[] = [];
  #bytes = 0;
  #ended = false;
  #wake = () => {};

  constructor(hello: RaftHello) {
    this.#hello = hello;
  }

  /** False if there is no room: the message is dropped. */
  push(message: Message): boolean {
    const bytes = messageBytes(message);
    const full = this.#urgent.length + this.#appends.length >= MAX_QUEUE_MESSAGES ||
      (this.#bytes > 0 && this.#bytes + bytes > MAX_QUEUE_BYTES);
    if (this.#ended || full) return false;
    this.#bytes += bytes;
    (message.type === "append" ? this.#appends : this.#urgent).push(message);
    this.#wake();
    return true;
  }

  /** Sends nothing more. */
  end(): void {
    this.#ended = true;
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
