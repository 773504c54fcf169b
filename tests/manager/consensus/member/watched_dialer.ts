import type { Clock } from "../../../../api/clock.ts";
import { sleep } from "../../../../api/clock.ts";
import { RAFT_METHODS } from "../../../../api/raft.ts";
import type { Connection, Dialer } from "../../../../transport/mod.ts";

/** What happens to the snapshots that go through a {@linkcode watchSnapshots | watched dialer}. */
export interface SnapshotWatch {
  /** Streams begun, and the parts that they have sent so far. */
  streams: number;
  parts: number;
  /** Streams that ended well. */
  arrived: number;
  /** Virtual milliseconds that each part takes. */
  partMs: number;
  /** Parts after which a stream breaks. */
  breakAfter: number;
}

/** A dialer whose snapshots are slow, break, and are counted; everything else goes as through `dialer`. */
export function watchSnapshots(dialer: Dialer, clock: Clock, watch: SnapshotWatch): Dialer {
  async function* slowly(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    let sent = 0;
    for await (const item of items) {
      if (sent++ >= watch.breakAfter) throw new Error("the test broke the stream");
      if (watch.partMs > 0) await sleep(clock, watch.partMs);
      watch.parts++;
      yield item;
    }
  }
  const watched = (connection: Connection): Connection =>
    new Proxy(connection, {
      get(target, name) {
        if (name !== "clientStream") {
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        }
        const stream: Connection["clientStream"] = async (method, items, options) => {
          if (method !== RAFT_METHODS.snapshot) return await target.clientStream(method, items, options);
          watch.streams++;
          const end = await target.clientStream(method, slowly(items), options);
          watch.arrived++;
          // deno-lint-ignore no-explicit-any
          return end as any;
        };
        return stream;
      },
    });
  return { dial: async (address, options) => watched(await dialer.dial(address, options)) };
}
