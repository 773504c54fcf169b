/** Who may call what, as the store and the certificate say: all calls, all roles, all that can become of a node. */
import assert from "node:assert/strict";
import { CA_METHODS } from "../../../api/ca.ts";
import { DISPATCHER_METHODS } from "../../../api/dispatcher.ts";
import type { Node, NodeRole } from "../../../api/node.ts";
import { RAFT_METHODS } from "../../../api/raft.ts";
import { CONTROL_METHOD } from "../../../manager/forward/control_messages.ts";
import { firstNode } from "../../../manager/cluster/new_cluster.ts";
import { ConnectionKeeper } from "../../../manager/server/connection_keeper.ts";
import { PeerTrust } from "../../../manager/server/peer_trust.ts";
import { checkManager, judgeCall, standingOf, welcome } from "../../../manager/server/standing.ts";
import type { ReadView } from "../../../manager/store/store.ts";
import { type NodeIdentity, readCertificate } from "../../../security/mod.ts";
import type { Access, PeerIdentity } from "../../../transport/mod.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const test = await createTestCluster();
const worker = await test.node("n", "swarm-worker");
const manager = await test.node("n", "swarm-manager");

const ACCESS: Record<string, Access> = {
  ...Object.fromEntries(Object.values(CA_METHODS).map((name) => [name, "anyone"])),
  ...Object.fromEntries(Object.values(DISPATCHER_METHODS).map((name) => [name, "node"])),
  ...Object.fromEntries([...Object.values(RAFT_METHODS), CONTROL_METHOD].map((name) => [name, "manager"])),
};

/** A store with one cluster and, maybe, the node. */
function view(node: Node | undefined, removed: string[] = [], hasCluster = true): ReadView {
  const BlacklistedCertificates = Object.fromEntries(removed.map((id) => [id, "2027-01-01T00:00:00Z"]));
  const tables: Record<string, unknown[]> = {
    clusters: hasCluster ? [{ ID: "cluster1", BlacklistedCertificates }] : [],
    nodes: node ? [node] : [],
  };
  const get = (table: string, id: string) => tables[table]!.find((object) => (object as Node).ID === id);
  return { get, find: (table: string) => tables[table] } as unknown as ReadView;
}

/** The node as the store has it; `knows` is the certificate that was recorded last. */
function stored(Role: NodeRole, knows?: NodeIdentity, UpdatedAt = "2026-01-01T01:00:00Z"): Node {
  const node = { ...firstNode("n", "active"), Role, UpdatedAt };
  return knows
    ? { ...node, Certificate: { PublicKeyDigest: digestOf(knows), Role, IssuedAt: "", ExpiresAt: "" } }
    : node;
}

const digests = new Map<NodeIdentity, string>();

function digestOf(identity: NodeIdentity): string {
  let digest = digests.get(identity);
  if (!digest) digests.set(identity, digest = readCertificate(identity.certificatePEM).publicKeyDigest);
  return digest;
}

const trust = new PeerTrust(new FakeClock());
const certified = (peer: PeerIdentity) => trust.certified(peer);
const leading = (view: ReadView) => ({ view, leads: () => true, certified });
const following = (view: ReadView) => ({ view, leads: () => false, certified });

/** What a caller of each state may call, by access; `told`: only that it is out. */
const CALLERS: Record<
  string,
  { peer: PeerIdentity; view: ReadView; may: Access[]; told?: true; code?: string }
> = {
  "a worker": { peer: worker, view: view(stored("worker")), may: ["anyone", "node"], told: true },
  "a worker that shall be a manager": {
    peer: worker,
    view: view(stored("manager")),
    may: ["anyone", "node"],
    told: true,
  },
  "a manager": { peer: manager, view: view(stored("manager", manager)), may: ["anyone", "node", "manager"] },
  "a manager without a record of its certificate": {
    peer: manager,
    view: view(stored("manager")),
    may: ["anyone", "node", "manager"],
  },
  "a demoted manager": {
    peer: manager,
    view: view(stored("worker", manager)),
    may: ["anyone", "node"],
    told: true,
  },
  "a demoted manager's copy": {
    peer: manager,
    view: view(stored("worker", worker)),
    may: ["anyone", "node"],
    told: true,
  },
  "a removed worker": { peer: worker, view: view(undefined, ["n"]), may: ["anyone"] },
  "a removed manager": { peer: manager, view: view(undefined, ["n"]), may: ["anyone"] },
  "a removed manager whose object is back": {
    peer: manager,
    view: view(stored("manager", manager), ["n"]),
    may: ["anyone"],
  },
  "an unknown worker": { peer: worker, view: view(undefined), may: ["anyone"] },
  "an unknown manager": { peer: manager, view: view(undefined), may: ["anyone"] },
  "an expired worker": {
    peer: { ...worker, expired: true },
    view: view(stored("worker")),
    may: ["anyone"],
    code: "unauthenticated",
  },
  "an expired manager": {
    peer: { ...manager, expired: true },
    view: view(stored("manager")),
    may: ["anyone"],
    code: "unauthenticated",
  },
};

for (const [who, { peer, view: state, may, told, code = "permission_denied" }] of Object.entries(CALLERS)) {
  Deno.test(`Standing: what ${who} may call at the leader`, () => {
    for (const [name, access] of Object.entries(ACCESS)) {
      const verdict = judgeCall(peer, { name, access }, leading(state));
      const expected = may.includes(access)
        ? "call"
        : told && name === RAFT_METHODS.messages
        ? "be_told"
        : "nothing";
      assert.equal(verdict.may, expected, name);
      if (verdict.may !== "call") assert.equal(verdict.refusal.code, code, name);
    }
    for (const access of ["anyone", "node", "manager"] as const) {
      const asOther = judgeCall(peer, { name: "x.y", access, asManager: true }, leading(state));
      assert.equal(asOther.may, may.includes("manager") ? "call" : "nothing", `for another node, ${access}`);
    }
  });
}

Deno.test("Standing: who has no certificate was judged by the access alone", () => {
  assert.deepEqual(judgeCall(undefined, { name: "x.y", access: "anyone" }, leading(view(undefined))), {
    may: "call",
  });
});

Deno.test("Standing: a manager that joins has no state yet and goes by the certificate", () => {
  for (const judge of [leading, following]) {
    assert.equal(standingOf(manager, judge(view(undefined, [], false))), "manager");
    assert.equal(standingOf(worker, judge(view(undefined, [], false))), "worker");
  }
});

Deno.test("Standing: a manager that lags takes what was certified after its last word about the node", () => {
  // The certificate is of 00:00:00.
  const before = "2025-12-31T23:59:59Z",
    sameSecond = "2026-01-01T00:00:00.900Z",
    after = "2026-01-01T00:00:01Z";
  const at = (node: Node | undefined, judge = following, removed: string[] = []) =>
    standingOf(manager, judge(view(node, removed)));
  assert.equal(at(undefined), "manager", "it joined since");
  assert.equal(at(stored("worker", worker, before)), "manager", "it was promoted since");
  assert.equal(at(stored("worker", worker, sameSecond)), "manager");
  assert.equal(at(stored("worker", worker, after)), "demoted");
  assert.equal(
    at(stored("worker", manager, before)),
    "demoted",
    "the certificate is on record: nothing is missing",
  );
  assert.equal(at(undefined, following, ["n"]), "removed");
  for (const node of [undefined, stored("worker", worker, before)]) {
    assert.notEqual(at(node, leading), "manager", "the leader has all that was acknowledged");
  }
  const unreadable = { ...manager, certificatePEM: "no certificate" };
  assert.equal(standingOf(unreadable, following(view(undefined))), "unknown");
  assert.equal(standingOf(unreadable, following(view(stored("worker", worker, before)))), "demoted");
});

Deno.test("Standing: who is gone may not connect, who is demoted or expired may, as a worker", () => {
  const expired = { ...worker, expired: true };
  for (const peer of [worker, manager, expired]) {
    for (const state of [view(undefined), view(undefined, ["n"])]) {
      assert.throws(() => welcome(peer, leading(state)), {
        code: "permission_denied",
        reason: "not_in_cluster",
      });
    }
    assert.deepEqual(welcome(peer, leading(view(stored("worker")))), { ...peer, role: "swarm-worker" });
  }
});

Deno.test("Standing: a manager dials managers only", () => {
  checkManager(manager, leading(view(stored("manager"))));
  checkManager(manager, undefined);
  const refused = { code: "permission_denied" };
  assert.throws(() => checkManager(worker, undefined), refused);
  for (const state of [view(stored("worker", manager)), view(undefined), view(stored("manager"), ["n"])]) {
    assert.throws(() => checkManager(manager, leading(state)), refused);
  }
});

/** A connection that notes why it was closed. */
function connection(peer: PeerIdentity | undefined) {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const made = {
    peer,
    closed: promise,
    why: "",
    close(reason = "") {
      made.why ||= reason;
      resolve(undefined);
    },
  };
  return made;
}

Deno.test("Connection keeper: closes what a node has open when it is removed, demoted or gone, and nothing else", async () => {
  let state = view(stored("manager", manager));
  const clock = new FakeClock();
  const judge = {
    leads: () => true,
    certified,
    get view() {
      return state;
    },
  };
  const keeper = new ConnectionKeeper(judge, clock);
  const other = { ...worker, nodeID: "other" };
  const [asManager, asWorker, anonymous] = [connection(manager), connection(worker), connection(undefined)];
  for (const each of [asManager, asWorker, anonymous]) keeper.add(each);
  const changed = (object: Node) =>
    keeper.follow({ index: 1, changes: [{ action: "update", table: "nodes", object }] });

  changed(stored("manager", manager));
  assert.deepEqual([asManager.why, asWorker.why], ["", ""]);
  state = view(stored("worker", manager));
  changed(stored("worker", manager));
  assert.deepEqual([asManager.why, asWorker.why], ["the node is no manager any more", ""]);

  // It may come again, to be told and to renew.
  const again = connection(manager), stranger = connection(other);
  keeper.add(again);
  keeper.add(stranger);
  changed(stored("worker", manager));
  assert.equal(again.why, "");
  state = view(undefined, ["n"]);
  keeper.reviewAll();
  assert.equal(again.why, "the node was removed from the cluster");
  assert.equal(asWorker.why, "the node was removed from the cluster");
  assert.deepEqual([anonymous.why, stranger.why], ["", ""]);

  const withdrawn = connection(manager);
  state = view(stored("manager", manager));
  keeper.add(withdrawn);
  state = view(undefined);
  keeper.reviewAll();
  assert.equal(withdrawn.why, "", "it gets its answer first");
  await clock.advance(1_000);
  assert.equal(withdrawn.why, "the cluster has no such node");
});

Deno.test("Standing: what a root vouches for that was replaced may be renewed, and nothing else, also on open connections", async () => {
  const replaced = test.root.certificatePEM, CACert = (await createTestCluster()).root.certificatePEM;
  const peer: PeerIdentity = { ...manager, rootPEM: replaced };
  const withRoots = (RootCA: object): ReadView => {
    const plain = view(stored("manager"));
    const cluster = { ID: "cluster1", BlacklistedCertificates: {}, RootCA };
    return {
      get: plain.get,
      find: (table: string) => table === "clusters" ? [cluster] : [],
    } as unknown as ReadView;
  };
  const before = withRoots({ CACert: replaced, RootRotation: { CACert } });
  const after = withRoots({ CACert, FormerRoots: [{ CACert: replaced }] });
  assert.equal(standingOf(peer, leading(before)), "manager");
  for (const judge of [leading(after), following(after)]) {
    assert.equal(standingOf(peer, judge), "former");
    assert.equal(standingOf({ ...peer, rootPEM: CACert }, judge), "manager");
    // Expired or not: whoever can sign by that root chooses the dates.
    for (const each of [peer, { ...peer, expired: true as const }]) {
      assert.equal(standingOf(each, judge), "former");
      const { role, unproven } = welcome(each, judge);
      assert.deepEqual([role, unproven], ["swarm-worker", true]);
    }
    assert.throws(() => checkManager(peer, judge), { code: "unauthenticated", reason: "former_root" });
    for (const [name, access] of Object.entries(ACCESS)) {
      assert.equal(
        judgeCall(peer, { name, access }, judge).may,
        access === "anyone" ? "call" : "nothing",
        name,
      );
      assert.equal(judgeCall(peer, { name, access, asManager: true }, judge).may, "nothing", name);
    }
  }
  let state = before;
  const closed: string[] = [];
  const keeper = new ConnectionKeeper({
    ...leading(before),
    get view() {
      return state;
    },
  }, new FakeClock());
  for (const rootPEM of [replaced, CACert]) {
    keeper.add({
      peer: { ...peer, rootPEM },
      closed: new Promise(() => {}),
      close: () => closed.push(rootPEM),
    });
  }
  state = after;
  keeper.reviewAll();
  assert.deepEqual(closed, [replaced]);
});
