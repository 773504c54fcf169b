/** What a pipe tells its owner. */
export interface PipeEvents {
  /** Bytes arrived; they may be reused after the call. */
  data(bytes: Uint8Array): void;
  /** What was written has left. */
  drain(): void;
  /** Nothing more will happen, and everything is released; `error` if it was not closed in order. */
  closed(error?: Error): void;
}

/** An ordered stream of bytes in both directions, as TLS and the memory network give it. */
export interface BytePipe {
  readonly remoteAddress: string;
  /** This end's address without port, where there is one. */
  readonly localAddress?: string | undefined;
  /** Bytes written that have not left. */
  readonly buffered: number;
  /** Called once, before anything else; events may come from then on, but not during the call. */
  start(events: PipeEvents): void;
  /** Takes ownership of `bytes`. */
  write(bytes: Uint8Array): void;
  /** No more `data` until `resume`, but for what is on its way: who sends is held back. */
  pause(): void;
  resume(): void;
  /** Closes after everything written has left. */
  end(): void;
  /** Closes now. */
  destroy(): void;
  /**
   * Runs `run` soon, after what is running now and what it starts; frames written until then travel
   * together.
   */
  defer(run: () => void): void;
}
