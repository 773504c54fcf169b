/** Secrets and configs on a node: who reads them, and what of them is on its disk. */
import assert from "node:assert/strict";
import type { DependencyKind } from "../../api/dependency.ts";
import type { AssignmentChange } from "../../api/dispatcher.ts";
import { DependencyKeeper } from "../../agent/dependencies.ts";
import { LocalState } from "../../agent/local_state.ts";
import { digestOf, openSecret, sealSecret, unwrap, wrapFor } from "../../api/sealed_secret.ts";
import { createPrivateKeyPEM, publicKeyOf } from "../../security/mod.ts";
import { decodeSinglePEM } from "../../security/pem.ts";
import { DESCRIPTION, testTask } from "../manager/dispatcher/harness.ts";
import { Cluster } from "./support/cluster.ts";

const WORD = `s3cret-${crypto.randomUUID()}`;
const FILE = { Name: "f", UID: "0", GID: "0", Mode: 0o444 };
const references = (...ids: string[]) => ({
  Spec: {
    ProcessSpec: {
      Command: "sleep",
      Secrets: ids.map((id) => ({ SecretID: id, SecretName: id, File: FILE })),
    },
    ForceUpdate: 0,
    Runtime: "process",
  },
});
const update = (
  ID: string,
  text: string,
  Kind: DependencyKind = "secret",
  Templating?: { Name: "golang" },
): AssignmentChange => ({
  Action: "update",
  Kind,
  Payload: { ID, Data: new TextEncoder().encode(text).toBase64(), ...(Templating && { Templating }) },
});

const node = () => Promise.resolve(DESCRIPTION);

/** A node's disk, on which one agent after the other works. */
class Disk {
  readonly folder = Deno.makeTempDirSync({ prefix: "covey-dependencies-" });
  keys: string[] = [];
  #state: LocalState | undefined;

  async start(): Promise<DependencyKeeper> {
    await this.end();
    this.#state = await LocalState.open(`${this.folder}/state.kv`);
    const keeper = new DependencyKeeper(this.#state, () => Promise.resolve(this.keys));
    await keeper.load();
    return keeper;
  }

  async end(): Promise<void> {
    await this.#state?.close();
    this.#state = undefined;
  }

  records(): string[] {
    return [...this.#state!.sealed().keys()].sort();
  }

  /** Bytes written so far. */
  async written(): Promise<number> {
    await this.#state?.flush();
    return (await Deno.stat(`${this.folder}/state.kv-wal`)).size;
  }

  /** Whether `text` or its base64 is in a file. */
  async shows(text: string): Promise<boolean> {
    await this.#state?.flush();
    const decoder = new TextDecoder("latin1");
    for await (const { name } of Deno.readDir(this.folder)) {
      const content = decoder.decode(await Deno.readFile(`${this.folder}/${name}`));
      if (content.includes(text) || content.includes(btoa(text).slice(4, -4))) return true;
    }
    return false;
  }

  async remove(): Promise<void> {
    await this.end();
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function onDisk(test: (disk: Disk) => Promise<void>): Promise<void> {
  const disk = new Disk();
  try {
    disk.keys = [await createPrivateKeyPEM()];
    await test(disk);
  } finally {
    await disk.remove();
  }
}

const reading = (keeper: DependencyKeeper, id: string, ...referenced: string[]) =>
  keeper.forTask(() => testTask("t", "n1", references(...(referenced.length > 0 ? referenced : [id]))), node)
    .read(
      "secret",
      id,
    )
    .then((bytes) => new TextDecoder().decode(bytes));

Deno.test("Dependencies: a task reads what it references, and is denied the rest (104)", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    keeper.applyComplete([update("s1", WORD), update("s2", "other"), update("c1", "config", "config")]);
    assert.equal(await reading(keeper, "s1"), WORD);
    await assert.rejects(reading(keeper, "s2", "s1"), { code: "permission_denied" });
    await assert.rejects(
      keeper.forTask(() => testTask("t", "n1", references("s1")), node).read("config", "c1"),
      {
        code: "permission_denied",
      },
    );
    await keeper.settled();
  }));

Deno.test("Dependencies: after a reboot without a manager they are read from what was sealed, and are nowhere in clear", () =>
  onDisk(async (disk) => {
    const big = WORD.repeat(20_000);
    const first = await disk.start();
    first.applyComplete([update("s1", WORD), update("s2", big)]);
    await first.settled();
    assert.ok(!await disk.shows(WORD));
    const next = await disk.start();
    assert.equal(await reading(next, "s1"), WORD);
    assert.equal(await reading(next, "s2"), big);
    assert.deepEqual(disk.records(), ["key", "secret/s1", "secret/s2"]);
    assert.ok(!await disk.shows(WORD));
  }));

Deno.test("Dependencies: with another key they are unreadable, the reason is said, and a manager mends it", () =>
  onDisk(async (disk) => {
    const first = await disk.start();
    first.applyComplete([update("s1", WORD)]);
    await first.settled();
    disk.keys = [await createPrivateKeyPEM()];
    const next = await disk.start();
    await assert.rejects(reading(next, "s1"), { code: "unavailable", message: /sealed with another key/ });
    next.applyComplete([update("s1", WORD)]);
    await next.settled();
    assert.equal(await reading(await disk.start(), "s1"), WORD);
  }));

Deno.test("Dependencies: a renewed key reads what the one before has sealed, whether the agent lived to seal it anew or not", () =>
  onDisk(async (disk) => {
    const [old] = disk.keys, first = await disk.start();
    first.applyComplete([update("s1", WORD)]);
    await first.settled();
    // The power went before the agent heard of the renewal.
    disk.keys = [await createPrivateKeyPEM(), old!];
    assert.equal(await reading(await disk.start(), "s1"), WORD);
    // From then on it is sealed for the present key alone.
    disk.keys = [disk.keys[0]!];
    const third = await disk.start();
    assert.equal(await reading(third, "s1"), WORD);
    disk.keys = [await createPrivateKeyPEM()];
    await third.rekey();
    assert.equal(await reading(await disk.start(), "s1"), WORD);
  }));

Deno.test("Dependencies: behind the last user and with the node's removal nothing is left, the data key included", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    keeper.applyComplete([update("s1", WORD), update("c1", "config", "config")]);
    keeper.apply({ Action: "remove", Kind: "secret", ID: "s1" });
    await keeper.settled();
    assert.deepEqual(disk.records(), ["config/c1", "key"]);
    await assert.rejects(reading(keeper, "s1"), { code: "not_found" });
    await keeper.wipe();
    assert.deepEqual(disk.records(), []);
    const next = await disk.start();
    await assert.rejects(reading(next, "c1"), { code: "unavailable" });
  }));

Deno.test("Dependencies: a template is filled in for each task, after a reboot as well; what cannot be says no word of a secret", () =>
  onDisk(async (disk) => {
    const golang = { Name: "golang" } as const;
    const first = await disk.start();
    const wrong = `${WORD} {{.Nobody.Knows}}`, plain = "{{.Node.Hostname}}";
    first.applyComplete([
      update("s1", "{{.Node.Hostname}} {{.Task.Name}}", "secret", golang),
      update("s2", wrong, "secret", golang),
      update("s3", plain),
    ]);
    await first.settled();
    for (const keeper of [first, await disk.start()]) {
      assert.equal(await reading(keeper, "s1"), "device web.1.t");
      assert.equal(await reading(keeper, "s3"), plain);
      await assert.rejects(reading(keeper, "s2"), {
        code: "invalid_argument",
        message: "Cannot expand secret s2: a placeholder cannot be filled in",
      });
    }
  }));

Deno.test("Dependencies: a template reaches the task's other secrets, configs and variables, and nothing else", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    const text = '{{secret "s1"}} {{config "c1"}} {{env "A"}}{{env "none"}} {{.Var.port}}';
    keeper.applyComplete([
      update("s1", "{{raw}}"),
      update("s2", "hidden"),
      update("c1", "c"),
      update("c1", "config", "config"),
      update("t", text, "config", { Name: "golang" }),
      update("bad", '{{secret "s2"}}', "config", { Name: "golang" }),
    ]);
    const target = (Name: string) => ({ ...FILE, Name });
    const base = testTask("t", "n1", references());
    const task = {
      ...base,
      Variables: { port: "80" },
      Spec: {
        ...base.Spec,
        ProcessSpec: {
          Command: "sleep",
          Env: ["A={{.Var.port}}"],
          Secrets: [{ SecretID: "s1", SecretName: "x", File: target("s1") }],
          Configs: ["c1", "t", "bad"].map((id) => ({ ConfigID: id, ConfigName: id, File: target(id) })),
        },
      },
    };
    const dependencies = keeper.forTask(() => task, node);
    assert.equal(new TextDecoder().decode(await dependencies.read("config", "t")), "{{raw}} config 80 80");
    await assert.rejects(dependencies.read("config", "bad"), /secret target s2 not found/);
    await keeper.settled();
  }));

/** A sealed secret as a manager hands it on, with what opens it for `privateKey`. */
async function sealedFor(ID: string, text: string, privateKey: string | undefined) {
  const { id, cipher, dataKey } = await sealSecret(new TextEncoder().encode(text));
  const publicKey = privateKey && publicKeyOf(privateKey);
  const opens = publicKey && {
    PublicKeyDigest: await digestOf(publicKey),
    Wrapped: (await wrapFor(id, dataKey, publicKey)).toBase64(),
  };
  const change: AssignmentChange = {
    Action: "update",
    Kind: "secret",
    Payload: { ID, Data: cipher.toBase64(), Sealed: { ID: id, ...opens } },
  };
  return { change, id, cipher, dataKey };
}

Deno.test("Dependencies: a secret that a client sealed is opened on the device, also after a reboot without a manager", () =>
  onDisk(async (disk) => {
    const first = await disk.start();
    const { change } = await sealedFor("s1", WORD, disk.keys[0]);
    first.applyComplete([change]);
    assert.equal(await reading(first, "s1"), WORD);
    await first.settled();
    assert.ok(!await disk.shows(WORD));
    const next = await disk.start();
    assert.equal(await reading(next, "s1"), WORD);
    // What the manager tells then is the same: nothing is written anew.
    const written = await disk.written();
    next.applyComplete([change]);
    await next.settled();
    assert.equal(await disk.written(), written);
    next.applyComplete([]);
    await next.settled();
    assert.deepEqual(disk.records(), []);
  }));

Deno.test("Dependencies: a sealed secret that is not for this node, or for another key, is named; one for it comes in time", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    keeper.applyComplete([(await sealedFor("s1", WORD, undefined)).change]);
    await assert.rejects(reading(keeper, "s1"), {
      code: "unavailable",
      message: /sealed, and not for this node/,
    });
    keeper.apply((await sealedFor("s1", WORD, await createPrivateKeyPEM())).change);
    await assert.rejects(reading(keeper, "s1"), { code: "unavailable", message: /for another key/ });
    keeper.apply((await sealedFor("s1", WORD, disk.keys[0])).change);
    assert.equal(await reading(keeper, "s1"), WORD);
    // Sealed anew for others it is the same; with other bytes it is not what the secret was.
    keeper.apply((await sealedFor("s1", WORD, undefined)).change);
    assert.equal(await reading(keeper, "s1"), WORD);
    keeper.apply((await sealedFor("s1", "other", disk.keys[0])).change);
    await keeper.settled();
    assert.equal(await reading(keeper, "s1"), WORD);
    // Forgotten before it was opened, it does not come back.
    keeper.apply((await sealedFor("s2", WORD, disk.keys[0])).change);
    keeper.apply({ Action: "remove", Kind: "secret", ID: "s2" });
    await assert.rejects(reading(keeper, "s2"), { code: "not_found" });
  }));

Deno.test("Dependencies: after its key was renewed a node wraps its own sealed secrets for the new one, once", () =>
  onDisk(async (disk) => {
    const [old] = disk.keys, first = await disk.start();
    const { change, id, cipher } = await sealedFor("s1", WORD, old);
    first.applyComplete([change, update("open", "x")]);
    assert.deepEqual(await first.staleSeals(), []);
    const renewed = await createPrivateKeyPEM();
    disk.keys = [renewed, old!];
    // Also an agent that was started anew, once a manager has told whose key it has.
    const next = await disk.start();
    assert.deepEqual(await next.staleSeals(), []);
    next.applyComplete([change, update("open", "x")]);
    const [seal, ...more] = await next.staleSeals();
    assert.deepEqual([more, seal!.SecretID, seal!.SealID], [[], "s1", id]);
    assert.equal(seal!.PublicKeyDigest, await digestOf(publicKeyOf(renewed)));
    const dataKey = await unwrap(
      id,
      Uint8Array.fromBase64(seal!.Wrapped),
      decodeSinglePEM("PRIVATE KEY", renewed),
    );
    assert.equal(new TextDecoder().decode(await openSecret(id, cipher, dataKey!)), WORD);
    next.sealsRenewed([seal!]);
    assert.deepEqual(await next.staleSeals(), []);
  }));

Deno.test("Dependencies: the same set again writes nothing", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    keeper.applyComplete([update("s1", WORD)]);
    await keeper.settled();
    const before = await disk.written();
    keeper.applyComplete([update("s1", WORD)]);
    await keeper.rekey();
    await keeper.settled();
    assert.equal(await disk.written(), before);
  }));

Deno.test("Dependencies: a record that is damaged, or in another's place, is unreadable", () =>
  onDisk(async (disk) => {
    const keeper = await disk.start();
    keeper.applyComplete([update("s1", WORD), update("s2", "two")]);
    await keeper.settled();
    await disk.end();
    const kv = await Deno.openKv(`${disk.folder}/state.kv`);
    const { value } = await kv.get<Uint8Array>(["sealed", "secret/s1", 0]);
    await kv.set(["sealed", "secret/s2", 0], value);
    value![20]! ^= 1;
    await kv.set(["sealed", "secret/s1", 0], value);
    kv.close();
    const next = await disk.start();
    for (const id of ["s1", "s2"]) await assert.rejects(reading(next, id), { code: "unavailable" });
  }));

Deno.test("Agent: a node that its cluster has removed keeps no secret", async () => {
  const c = await Cluster.start();
  await c.store.update((tx) => {
    const meta = { Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
    tx.create("secrets", { ...meta, ID: "s1", Spec: { Name: "s1", Labels: {}, Data: btoa(WORD) } });
  });
  c.keys = [await createPrivateKeyPEM()];
  await c.startAgent();
  await c.assign("a", references("s1"));
  assert.equal(c.status("a").State, "running");
  assert.deepEqual([...c.state.sealed().keys()].sort(), ["key", "secret/s1"]);
  await c.store.update((tx) => tx.delete("nodes", "n1"));
  await c.clock.advance(20_000);
  assert.equal(c.agent.state, "removed");
  assert.deepEqual([...c.state.sealed().keys()], []);
  await c.stop();
});

Deno.test("Agent: a renewed key has managers keep the node's sealed secrets for it, through the session that is open", async () => {
  const c = await Cluster.start(), old = await createPrivateKeyPEM(), next = await createPrivateKeyPEM();
  const certify = async (privateKey: string) => {
    const PublicKeyDigest = await digestOf(publicKeyOf(privateKey));
    await c.store.update((tx) => {
      const Certificate = { PublicKeyDigest, Role: "worker" as const, IssuedAt: "", ExpiresAt: "" };
      tx.update("nodes", { ...tx.get("nodes", "n1")!, Certificate });
    });
  };
  const { change, id } = await sealedFor("s1", WORD, old),
    payload = "Payload" in change ? change.Payload : undefined;
  const { PublicKeyDigest, Wrapped } = payload!.Sealed as { PublicKeyDigest: string; Wrapped: string };
  const meta = { Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
  await c.store.update((tx) => {
    const Spec = {
      Name: "s1",
      Labels: {},
      Data: (payload as { Data: string }).Data,
      Sealed: { ID: id, Labels: {} },
    };
    tx.create("secrets", { ...meta, ID: "s1", Spec });
    tx.create("seals", {
      ...meta,
      ID: "s1.n1",
      SecretID: "s1",
      SealID: id,
      NodeID: "n1",
      PublicKeyDigest,
      Wrapped,
    });
  });
  c.keys = [old];
  await certify(old);
  await c.startAgent();
  await c.assign("a", references("s1"));
  assert.equal(c.status("a").State, "running");
  c.keys = [next, old];
  await certify(next);
  // Keys are wrapped beside the virtual time.
  const kept = () => c.store.get("seals", "s1.n1")!;
  for (let turn = 0; turn < 50 && kept().Wrapped === Wrapped; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    await c.settle();
  }
  assert.equal(kept().PublicKeyDigest, await digestOf(publicKeyOf(next)));
  assert.ok(await unwrap(id, Uint8Array.fromBase64(kept().Wrapped), decodeSinglePEM("PRIVATE KEY", next)));
  await c.stop();
});
