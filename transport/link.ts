import type { Clock } from "../api/clock.ts";
import type { Frame } from "./frames.ts";
import type { Limits } from "./limits.ts";

/** What a call sees of its connection. */
export interface Link {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly remoteAddress: string;
  /** Whether calls and streams may send now. */
  readonly hasRoom: boolean;
  /** Runs `run` once there is room or the connection is over. Throws `resource_exhausted` if too many wait. */
  whenRoom(run: () => void): void;
  /**
   * Queues a frame and returns its bytes; does nothing on a closed connection. Throws `invalid_argument` or
   * `resource_exhausted` for a message that cannot be sent.
   */
  send(frame: Frame): number;
}
