import type { Limits } from "../../transport/limits.ts";
import { type MemoryNetwork, memoryNetwork } from "../../transport/memory_network.ts";
import type { Connection, Listener, Method, PeerIdentity } from "../../transport/types.ts";
import { FakeClock } from "./fake_clock.ts";
import { identityOf, routerOf } from "./transport.ts";

/** A connection between hosts "worker" and "manager" on virtual time. */
export interface Link {
  clock: FakeClock;
  network: MemoryNetwork;
  listener: Listener;
  connection: Connection;
  /** The listener's end. */
  accepted: Connection;
}

/** Settings of {@linkcode withLink}. */
export interface LinkOptions {
  limits?: Partial<Limits>;
  pieceBytes?: number;
  /** Who dials; null: without certificate. Default: worker "w1". */
  dialer?: PeerIdentity | null;
  /** Methods of the dialing end. */
  offered?: Record<string, Method>;
}

/** Runs `test` on a fresh link and closes everything; fails if a timer is left. */
export async function withLink(
  methods: Record<string, Method>,
  test: (link: Link) => Promise<void>,
  options: LinkOptions = {},
): Promise<void> {
  const clock = new FakeClock();
  const network = memoryNetwork({ pieceBytes: options.pieceBytes ?? 0 });
  const limits = options.limits ?? {};
  const accepted: Connection[] = [];
  const listener = await network.listen({
    listen: "manager:0",
    identity: () => identityOf("m1", "swarm-manager"),
    router: routerOf(methods),
    clock,
    limits,
    onConnection: (connection) => accepted.push(connection),
  });
  const identity = options.dialer === undefined ? identityOf("w1") : options.dialer ?? undefined;
  const dialer = network.dialer({
    host: "worker",
    identity: () => identity,
    clock,
    limits,
    ...(options.offered ? { router: routerOf(options.offered) } : {}),
  });
  const connection = await dialer.dial(listener.address);
  try {
    await test({ clock, network, listener, connection, accepted: accepted[0]! });
  } finally {
    network.setLink("worker", "manager", "up");
    connection.close();
    await listener.close();
    await connection.closed;
  }
  if (clock.pending > 0) throw new Error(`${clock.pending} timers are left`);
}
