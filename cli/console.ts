/** The person's own terminal, or what stands in for it. */
import type { TerminalSize } from "../api/streams.ts";

/** Bytes read at once: what somebody pastes. */
const READ_BYTES = 16 * 1024;

/** What a command that talks to the inside of a task has of the place where it was typed. */
export interface Console {
  /** What is typed or piped in. */
  input(): AsyncIterable<Uint8Array>;
  /** Resolves when it is written, so that a slow terminal holds back who prints. */
  print(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  /** Whether input and output are a terminal. */
  isTerminal(): boolean;
  size(): TerminalSize;
  /** Hands on each key as it is pressed, Ctrl-C too, or stops to. */
  setRaw(raw: boolean): void;
  /** Calls `listener` when the size has changed. Returns how to stop that. */
  onResize(listener: () => void): () => void;
  /** Calls `listener` for Ctrl-C, instead of ending the command. Returns how to stop that. */
  onInterrupt(listener: () => void): () => void;
}

/** The terminal of this process. `takeInterrupts` says who gets Ctrl-C; undefined: nobody. */
export function systemConsole(takeInterrupts: (listener: (() => void) | undefined) => void): Console {
  return {
    async *input() {
      const buffer = new Uint8Array(READ_BYTES);
      for (let count = await Deno.stdin.read(buffer); count !== null; count = await Deno.stdin.read(buffer)) {
        yield buffer.slice(0, count);
      }
    },
    async print(stream, bytes) {
      for (let at = 0; at < bytes.length;) at += await Deno[stream].write(bytes.subarray(at));
    },
    isTerminal: () => Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    size() {
      const { rows, columns } = Deno.consoleSize();
      return { Height: rows, Width: columns };
    },
    setRaw: (raw) => Deno.stdin.setRaw(raw),
    onResize(listener) {
      Deno.addSignalListener("SIGWINCH", listener);
      return () => Deno.removeSignalListener("SIGWINCH", listener);
    },
    onInterrupt(listener) {
      takeInterrupts(listener);
      return () => takeInterrupts(undefined);
    },
  };
}
