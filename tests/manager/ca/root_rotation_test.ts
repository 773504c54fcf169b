import assert from "node:assert/strict";
import type { Node, NodeState } from "../../../api/node.ts";
import {
  PATIENCE_MS,
  RootRotation,
  ROTATION_BATCH,
  ROTATION_PAUSE_MS,
} from "../../../manager/ca/root_rotation.ts";
import { firstNode, newCluster } from "../../../manager/cluster/new_cluster.ts";
import { issuerDigest, signerOf, trustedRoots, withNextRoot } from "../../../manager/cluster/root_ca.ts";
import { MAX_FORMER_ROOTS } from "../../../api/cluster.ts";
import {
  createPrivateKeyPEM,
  issueNodeCertificate,
  MAX_CHAIN_LENGTH,
  publicKeyOf,
  readCertificates,
  rootTLSInfo,
  verifyPeerChain,
} from "../../../security/mod.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { seededRandom } from "../orchestrator/harness.ts";

/** A leader with nodes whose state and certificates a test decides. */
class Leader {
  readonly clock = new FakeClock();
  readonly random = seededRandom();
  readonly store = testStore({ clock: this.clock }).store;
  component = this.#make();

  #make(): RootRotation {
    return new RootRotation(this);
  }

  static async withNodes(nodes: Record<string, "manager" | "worker">): Promise<Leader> {
    const leader = new Leader();
    const cluster = await newCluster("c", {}, leader);
    await leader.store.update((tx) => {
      tx.create("clusters", cluster);
      for (const [id, role] of Object.entries(nodes)) {
        const node = firstNode(id, "active");
        tx.create("nodes", {
          ...node,
          Role: role,
          Spec: { ...node.Spec, Role: role },
          Status: { State: "ready", Addr: "" },
        });
      }
    });
    leader.component.start();
    await leader.settled();
    return leader;
  }

  get rootCA() {
    return this.store.all("clusters")[0]!.RootCA;
  }

  get told(): string[] {
    const issuer = issuerDigest(this.rootCA.RootRotation!.CACert);
    return this.store.all("nodes").filter(({ Renewal }) => Renewal?.Issuer === issuer).map(({ ID }) => ID);
  }

  async settled(): Promise<void> {
    for (let i = 0; i < 20; i++) await settle();
  }

  async change(id: string, change: (node: Node) => Node): Promise<void> {
    await this.store.update((tx) => tx.update("nodes", change(tx.get("nodes", id)!)));
    await this.settled();
  }

  state(id: string, State: NodeState): Promise<void> {
    return this.change(id, (node) => ({ ...node, Status: { ...node.Status, State } }));
  }

  /** The node has a certificate by this root, and says so. */
  has(id: string, issuer = this.rootCA.RootRotation!.CACert): Promise<void> {
    const TLSInfo = rootTLSInfo(this.rootCA.CACert, issuer);
    const description = {
      Hostname: id,
      Platform: { OS: "", Architecture: "" },
      Resources: {},
      Engine: { EngineVersion: "" },
    };
    return this.change(id, (node) => ({ ...node, Description: { ...description, Runtimes: [], TLSInfo } }));
  }

  async rotate(): Promise<void> {
    const RootCA = await withNextRoot(this.rootCA, { force: true, signing: undefined }, this);
    await this.store.update((tx) => tx.update("clusters", { ...tx.all("clusters")[0]!, RootCA }));
    await this.settled();
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settled();
  }

  /** Another manager leads. */
  async changeLeader(): Promise<void> {
    await this.component.stop();
    this.component = this.#make();
    this.component.start();
    await this.settled();
  }
}

Deno.test("Root rotation: nodes are told some at a time, and without a rotation nobody is", async () => {
  const ids = Array.from({ length: 2 * ROTATION_BATCH + 5 }, (_, n) => `n${n}`);
  const leader = await Leader.withNodes(Object.fromEntries(ids.map((id) => [id, "worker" as const])));
  assert.deepEqual(leader.store.all("nodes").filter(({ Renewal }) => Renewal), []);
  assert.equal(leader.clock.pending, 0);
  await leader.rotate();
  assert.equal(leader.told.length, ROTATION_BATCH);
  await leader.advance(ROTATION_PAUSE_MS - 1);
  assert.equal(leader.told.length, ROTATION_BATCH);
  await leader.advance(1);
  assert.equal(leader.told.length, 2 * ROTATION_BATCH);
  await leader.advance(ROTATION_PAUSE_MS);
  assert.equal(leader.told.length, ids.length);
  await leader.component.stop();
  assert.equal(leader.clock.pending, 0);
});

Deno.test("Root rotation: it ends once all have the new certificates; tokens and key are new, the old root is a former one", async () => {
  const leader = await Leader.withNodes({ m: "manager", w: "worker" });
  const before = leader.rootCA;
  await leader.rotate();
  const { CACert, CAKey, CrossSignedCert } = leader.rootCA.RootRotation!;
  assert.deepEqual([leader.rootCA.CACert, leader.rootCA.JoinTokens], [before.CACert, before.JoinTokens]);
  await leader.has("w");
  assert.ok(leader.rootCA.RootRotation);
  await leader.has("m", before.CACert);
  assert.ok(leader.rootCA.RootRotation);
  await leader.has("m");
  const { JoinTokens, ...after } = leader.rootCA;
  assert.deepEqual(after, { CACert, CAKey, FormerRoots: [{ CACert: before.CACert, CrossSignedCert }] });
  assert.ok(
    JoinTokens.Worker !== before.JoinTokens.Worker && JoinTokens.Manager !== before.JoinTokens.Manager,
  );
  assert.ok(!JSON.stringify(leader.store.all("clusters")).includes(before.CAKey.slice(60, 120)));
  await leader.component.stop();
});

Deno.test("Root rotation: a worker that is down holds up nobody, nor one that does not renew; a manager does, whatever it does", async () => {
  const leader = await Leader.withNodes({ m: "manager", off: "worker", stubborn: "worker" });
  await leader.state("off", "down");
  await leader.rotate();
  await leader.state("m", "down");
  await leader.advance(2 * PATIENCE_MS);
  assert.ok(leader.rootCA.RootRotation, "the manager is waited for");
  assert.deepEqual(leader.told, ["m", "stubborn"]);
  // It comes back too late to be waited for, and is told.
  await leader.state("off", "ready");
  assert.deepEqual(leader.told, ["m", "off", "stubborn"]);
  await leader.has("m");
  assert.ok(leader.rootCA.RootRotation);
  await leader.advance(PATIENCE_MS);
  assert.equal(leader.rootCA.RootRotation, undefined);
  await leader.component.stop();
  assert.equal(leader.clock.pending, 0);
});

Deno.test("Root rotation: the next leader goes on, a failed write is tried again, a second root starts it anew", async () => {
  const leader = await Leader.withNodes({ m: "manager", w: "worker" });
  const old = leader.rootCA.CACert;
  await leader.rotate();
  const first = leader.rootCA.RootRotation!.CACert;
  await leader.has("m");
  await leader.changeLeader();
  await leader.rotate();
  assert.notEqual(leader.rootCA.RootRotation!.CACert, first);
  await leader.advance(ROTATION_PAUSE_MS);
  assert.deepEqual(leader.told, ["m", "w"]);
  await leader.has("w", first);
  await leader.has("m");
  assert.ok(leader.rootCA.RootRotation, "w has a certificate by the root that was overtaken");
  await leader.changeLeader();
  await leader.has("w");
  assert.notEqual(leader.rootCA.CACert, old);
  assert.deepEqual(leader.rootCA.FormerRoots!.map(({ CACert }) => CACert), [old]);
  await leader.component.stop();
});

Deno.test("Root rotation: during and after any number of them, whoever knows one of the last roots takes new certificates", async () => {
  const leader = await Leader.withNodes({ m: "manager" });
  const known = [leader.rootCA.CACert], key = publicKeyOf(await createPrivateKeyPEM());
  const issue = () =>
    issueNodeCertificate(signerOf(leader.rootCA), {
      publicKey: key,
      nodeID: "m",
      clusterID: "c",
      role: "swarm-manager",
    }, leader);
  const check = async () => {
    const chain = await issue();
    assert.ok(readCertificates(chain).length <= MAX_CHAIN_LENGTH);
    for (const root of known.slice(0, MAX_FORMER_ROOTS + 1)) {
      const peer = verifyPeerChain(chain, { roots: [root], now: leader.clock.now(), clusterID: "c" });
      assert.equal(peer.rootPEM, root);
    }
    const { rootPEM } = verifyPeerChain(chain, {
      roots: trustedRoots(leader.store.all("clusters")[0]!),
      now: leader.clock.now(),
    });
    assert.equal(rootPEM, (leader.rootCA.RootRotation ?? leader.rootCA).CACert);
  };
  for (let round = 0; round < 4; round++) {
    await leader.rotate();
    await check();
    await leader.has("m");
    known.unshift(leader.rootCA.CACert);
    await check();
  }
  await leader.component.stop();
});

Deno.test("Root rotation: a worker that renews and does not say so is told once; a manager is, until it says so", async () => {
  const leader = await Leader.withNodes({ m: "manager", w: "worker" });
  await leader.rotate();
  const renewed = (id: string) =>
    leader.change(id, (node) => ({ ...node, Renewal: { ...node.Renewal!, Done: true } }));
  const asked = () => leader.store.all("nodes").filter(({ Renewal }) => !Renewal?.Done).map(({ ID }) => ID);
  for (let i = 0; i < 3; i++) {
    await renewed("w");
    await renewed("m");
    await leader.advance(ROTATION_PAUSE_MS);
    assert.deepEqual(asked(), ["m"]);
  }
  await leader.has("m");
  await leader.advance(PATIENCE_MS);
  assert.equal(leader.rootCA.RootRotation, undefined);
  await leader.component.stop();
});
