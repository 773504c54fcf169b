import assert from "node:assert/strict";
import type { Node, NodeRole } from "../../../api/node.ts";
import { RAFT_METHODS } from "../../../api/raft.ts";
import { firstNode } from "../../../manager/cluster/new_cluster.ts";
import { JudgingRouter } from "../../../manager/server/judging_router.ts";
import type { ReadView } from "../../../manager/store/store.ts";
import { createRouter, type Method, type PeerIdentity } from "../../../transport/mod.ts";
import { identityOf } from "../../support/transport.ts";

const unary = (access: Method["access"]): Method => ({
  kind: "unary",
  access,
  handler: () => Promise.resolve(1),
});
const messages: Method = {
  kind: "client_stream",
  access: "manager",
  handler: () => Promise.resolve("heeded"),
};

/** A router over a store with the nodes m and w, and what becomes of them. */
function setup(leads = true) {
  const nodes = new Map<string, Node>();
  const blocked: Record<string, string> = {};
  const become = (id: string, Role: NodeRole) =>
    nodes.set(id, { ...firstNode(id, "active"), Role, UpdatedAt: "2026-01-01T00:00:00Z" });
  become("m", "manager");
  become("w", "worker");
  const view = {
    get: (_: string, id: string) => nodes.get(id),
    find: () => [{ BlacklistedCertificates: blocked }],
  } as unknown as ReadView;
  const router = new JudgingRouter({
    router: createRouter(),
    judge: { view, leads: () => leads, certified: () => undefined },
    farewell: (refusal) => () => Promise.reject(refusal),
  });
  for (const access of ["anyone", "node", "manager"] as const) router.register(`a.${access}`, unary(access));
  router.register(RAFT_METHODS.messages, messages);
  return { nodes, blocked, become, router };
}

const [m, w] = [identityOf("m", "swarm-manager"), identityOf("w", "swarm-worker")];
const refused = { code: "permission_denied" };

Deno.test("Judging router: the same connection may less from the moment on that the store says so", async () => {
  const { become, nodes, blocked, router } = setup();
  const may = (name: string, peer: PeerIdentity, forwardedFor?: PeerIdentity) =>
    router.resolve(name, "unary", peer, forwardedFor);
  assert.equal(may("a.manager", m).access, "manager");
  assert.equal(may("a.node", m, w).access, "node");

  become("m", "worker");
  assert.throws(() => may("a.manager", m), { ...refused, reason: "no_manager" });
  assert.throws(
    () => may("a.node", m, w),
    { ...refused, reason: "no_manager" },
    "it speaks for nobody any more",
  );
  assert.throws(() => may("a.anyone", m, w), refused);
  assert.equal(may("a.node", m).access, "node");
  const told = router.resolve(RAFT_METHODS.messages, "client_stream", m);
  assert.ok(told.kind === "client_stream");
  await assert.rejects(told.handler((async function* () {})(), {} as never), refused, "heard, not heeded");

  nodes.delete("m");
  for (const name of ["a.manager", "a.node"]) {
    assert.throws(() => may(name, m), { ...refused, reason: "not_in_cluster" });
  }
  assert.throws(() => router.resolve(RAFT_METHODS.messages, "client_stream", m), refused);
  become("m", "manager");
  blocked.m = "2027-01-01T00:00:00Z";
  assert.throws(() => may("a.node", m), { ...refused, reason: "not_in_cluster" });
  assert.equal(may("a.anyone", m).access, "anyone");
});

Deno.test("Judging router: at the leader, whoever a manager speaks for must be in the cluster too", () => {
  const atLeader = setup();
  atLeader.nodes.delete("w");
  assert.throws(() => atLeader.router.resolve("a.node", "unary", m, w), { reason: "not_in_cluster" });
  const elsewhere = setup(false);
  elsewhere.nodes.delete("w");
  assert.equal(elsewhere.router.resolve("a.node", "unary", m, w).access, "node", "the leader judges");
});

Deno.test("Judging router: what certificates do not give, and what is not there, is refused as ever", () => {
  const { router } = setup();
  assert.throws(() => router.resolve("a.node", "unary", undefined), { code: "unauthenticated" });
  assert.throws(() => router.resolve("a.manager", "unary", w), refused);
  assert.throws(() => router.resolve("a.node", "unary", w, m), refused);
  assert.throws(() => router.resolve("a.none", "unary", m), { code: "unimplemented" });
  assert.throws(() => router.resolve("a.node", "server_stream", m), { code: "invalid_argument" });
  const expired = { ...w, expired: true };
  assert.throws(() => router.resolve("a.node", "unary", expired), { code: "unauthenticated" });
  assert.equal(router.resolve("a.anyone", "unary", expired).access, "anyone");
});
