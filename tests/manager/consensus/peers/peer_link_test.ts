/** What a member has for another one: one connection at a time, to where that one is. */
import { deepStrictEqual, ok } from "node:assert/strict";
import { PeerLink } from "../../../../manager/consensus/peers/peer_link.ts";
import type { CallOptions, Connection, Dialer } from "../../../../transport/mod.ts";
import { FakeClock, settle } from "../../../support/fake_clock.ts";
import { identityOf } from "../../../support/transport.ts";

/** Connections to nowhere: what is sent is swallowed, and nobody ends them. */
function silentDialer(dialed: string[]): Dialer {
  const connection = {
    peer: identityOf("m2", "swarm-manager"),
    clientStream: (_method: string, _requests: unknown, { signal }: CallOptions) =>
      new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason))),
    close() {},
  } as unknown as Connection;
  return {
    dial(address) {
      dialed.push(address);
      return Promise.resolve(connection);
    },
  };
}

Deno.test("PeerLink: a member that moved gets the next message at its new address, though nobody ends the old connection", async () => {
  const dialed: string[] = [], clock = new FakeClock();
  let address = "10.0.0.2:2377";
  const link = new PeerLink({
    hello: { From: 1, To: 2, Addr: "10.0.0.1:2377" },
    clock,
    dialer: silentDialer(dialed),
    address: () => ({ nodeID: "m2", address }),
    unreachable() {},
    removed: () => ok(false, "nobody says so"),
  });
  const say = () => link.send({ type: "timeout_now", from: 1, to: 2, term: 1 });
  say();
  await settle();
  address = "10.0.0.9:2377";
  link.reset();
  await settle();
  say();
  await settle();
  deepStrictEqual(dialed, ["10.0.0.2:2377", "10.0.0.9:2377"]);
  await link.close();
});
