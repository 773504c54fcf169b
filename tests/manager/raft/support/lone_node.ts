import { type Message, type RaftConfig, RawNode, type Ready } from "../../../../manager/raft/mod.ts";
import { type Start, storageWith, testConfig } from "./cluster.ts";

type Body<M> = M extends Message ? Omit<M, "from" | "to"> : never;

/** One member of a cluster of three (or `voters`), poked with messages of the others. Its disk is perfect. */
export class LoneNode {
  readonly storage;
  readonly raw: RawNode;
  /** Everything it applied, in order. */
  readonly applied: number[] = [];
  constructor(start: Start = { terms: [] }, options: Partial<RaftConfig> = {}, voters: number[] = [1, 2, 3]) {
    this.storage = storageWith(voters, start);
    this.raw = new RawNode(testConfig(1, { preVote: false, ...options }), this.storage);
  }

  /** Does what the core asks for and returns the messages it wanted to send. */
  drain(): Message[] {
    const sent: Message[] = [];
    while (this.raw.hasReady()) {
      const ready: Ready = this.raw.ready();
      sent.push(...ready.messages);
      if (ready.write) {
        this.storage.write(ready.write);
        this.raw.persisted();
        sent.push(...ready.write.messages);
      }
      for (const { index } of ready.committed) this.applied.push(index);
      if (ready.committed.length > 0) this.raw.applied(ready.committed.at(-1)!.index);
    }
    return sent;
  }

  /** A message from `from`, and what is sent because of it. */
  receive(from: number, body: Body<Message>): Message[] {
    this.raw.step({ ...body, from, to: 1 } as Message);
    return this.drain();
  }

  /** Ticks, and what is sent because of them. */
  tick(count: number): Message[] {
    const sent: Message[] = [];
    for (let i = 0; i < count; i++) {
      this.raw.tick();
      sent.push(...this.drain());
    }
    return sent;
  }

  /** Makes it the leader of the next term; its no-op is stored by itself only. */
  lead(): Message[] {
    this.raw.campaign();
    this.drain();
    return this.receive(2, { type: "vote_response", term: this.raw.status().term, granted: true });
  }

  /** Proposes one entry per text, and returns what is sent. */
  propose(...texts: string[]): Message[] {
    this.raw.propose(texts.map((text) => new TextEncoder().encode(text)));
    return this.drain();
  }

  /** `from` stores everything up to `index`. */
  accept(from: number, index: number): Message[] {
    const { term } = this.raw.status();
    return this.receive(from, {
      type: "append_response",
      term,
      index,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    });
  }

  /** The terms of its log from entry 2 on. */
  terms(): (number | undefined)[] {
    const { lastIndex } = this.raw.status();
    return Array.from({ length: lastIndex - 1 }, (_, i) => this.storage.term(i + 2));
  }
}

/** The messages of one type. */
export function only<T extends Message["type"]>(
  messages: Message[],
  type: T,
): Extract<Message, { type: T }>[] {
  return messages.filter((message): message is Extract<Message, { type: T }> => message.type === type);
}
