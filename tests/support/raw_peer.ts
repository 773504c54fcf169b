import type { Limits } from "../../transport/limits.ts";
import { DEFAULT_LIMITS } from "../../transport/limits.ts";
import { encodeFrame, type Frame, FrameReader } from "../../transport/frames.ts";
import { type MemoryPath, MemoryPipe } from "../../transport/memory_pipe.ts";
import { Session } from "../../transport/session.ts";
import type { PeerIdentity, Router } from "../../transport/types.ts";
import { FakeClock } from "./fake_clock.ts";

/** A session whose other end is bytes in a test's hands. */
export class RawPeer {
  readonly clock = new FakeClock();
  readonly session: Session;
  /** Frames that the session sent. */
  readonly frames: Frame[] = [];
  /** Writes in which they came. */
  writes = 0;
  ended = false;
  /** The way from the session to the test; stalled, the test does not read. */
  readonly fromSession: MemoryPath = { stalled: false, pieceBytes: 0 };
  readonly #pipe: MemoryPipe;

  constructor(options: { dialed: boolean; router?: Router; limits?: Partial<Limits>; peer?: PeerIdentity }) {
    const end = (address: string, toPeer: MemoryPath) => ({ address, toPeer, onClosed: () => {} });
    const [near, far] = MemoryPipe.pair(
      end("near:1", this.fromSession),
      end("far:1", { stalled: false, pieceBytes: 0 }),
    );
    this.#pipe = far;
    const reader = new FrameReader(DEFAULT_LIMITS.maxFrameBytes);
    far.start({
      data: (bytes) => {
        this.writes++;
        reader.add(bytes);
        while (reader.next((frame) => this.frames.push(frame)));
      },
      drain: () => {},
      closed: () => this.ended = true,
    });
    this.session = new Session({
      pipe: near,
      dialed: options.dialed,
      peer: options.peer,
      peerChainPEM: undefined,
      router: options.router,
      clock: this.clock,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
    });
  }

  send(...frames: Frame[]): void {
    for (const frame of frames) {
      const body = encodeFrame(frame, DEFAULT_LIMITS.maxFrameBytes);
      const header = new Uint8Array(4);
      new DataView(header.buffer).setUint32(0, body.length);
      this.sendBytes(header);
      this.sendBytes(body);
    }
  }

  sendBytes(bytes: Uint8Array): void {
    this.#pipe.write(bytes);
  }

  close(): void {
    this.#pipe.end();
  }
}
