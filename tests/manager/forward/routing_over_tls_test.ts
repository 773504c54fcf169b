import { noStreams } from "../../support/no_streams.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import assert from "node:assert/strict";
import { systemClock } from "../../../api/clock.ts";
import { Routing } from "../../../manager/forward/mod.ts";
import { verifyPeerChain } from "../../../security/mod.ts";
import { listenTLS, tlsDialer } from "../../../transport/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { routerOf } from "../../support/transport.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { FakeGroup } from "./fake_group.ts";

Deno.test("Routing over TLS: a follower hands requests to the leader, both proven by their certificates", async () => {
  const cluster = await createTestCluster("cluster1", new FakeClock(Date.now()));
  const group = new FakeGroup({ m1: "127.0.0.1:1", m2: "127.0.0.1:2" }, "m1");
  const verifyPeer = (chain: string | undefined) =>
    chain === undefined ? undefined : verifyPeerChain(chain, {
      roots: [cluster.root.certificatePEM],
      now: systemClock.now(),
      clusterID: "cluster1",
    });
  const routing = async (nodeID: string) => {
    const node = await cluster.node(nodeID, "swarm-manager");
    const identity = () => ({ certificatePEM: node.certificateChainPEM, privateKeyPEM: node.privateKeyPEM });
    return {
      identity,
      routing: new Routing({
        consensus: group.consensus[nodeID]!,
        nodeID,
        clock: systemClock,
        dialer: tlsDialer({ identity, verifyPeer, clock: systemClock }),
        answer: async (request) => new Response(`${request.method} ${request.url} ${await request.text()}`),
        openTaskStream: noStreams,
      }),
    };
  };
  const [leader, follower] = [await routing("m1"), await routing("m2")];
  const listener = await listenTLS({
    listen: "127.0.0.1:0",
    identity: leader.identity,
    verifyPeer,
    router: routerOf(leader.routing.methods({})),
    clock: systemClock,
  });
  group.members[0]!.address = listener.address;
  try {
    const request = {
      Method: "POST",
      Path: "/x?y=1",
      Headers: [],
      Body: new TextEncoder().encode("body"),
      Caller: ADMINISTRATOR,
    };
    const response = await follower.routing.forward(request);
    assert.equal(await response!.text(), "POST http://docker/x?y=1 body");
    assert.equal(listener.connections, 1);
  } finally {
    follower.routing.close();
    leader.routing.close();
    await listener.close();
  }
});
