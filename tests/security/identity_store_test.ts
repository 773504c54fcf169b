import assert from "node:assert/strict";
import { hasCode } from "../../api/errors.ts";
import { IdentityStore, newKey, publicKeyOf, systemFileSystem } from "../../security/mod.ts";
import { createTestCluster } from "./fixtures.ts";
import { MemoryFileSystem } from "./memory_file_system.ts";

const FOLDER = "/state/certificates";

Deno.test("Identity store: keeps Docker's file names, key 0600, folders 0700, on the real disk", async () => {
  const cluster = await createTestCluster();
  const node = await cluster.node("node1", "swarm-manager");
  const stateDir = await Deno.makeTempDir();
  try {
    const store = new IdentityStore(systemFileSystem, stateDir);
    assert.equal(await store.load(), undefined);
    await store.pendingKey();
    assert.deepEqual(await store.save(node), node);
    assert.deepEqual(await new IdentityStore(systemFileSystem, stateDir).load(), node);
    const renewed = await cluster.node("node1", "swarm-manager");
    await store.save(renewed);
    assert.deepEqual(await store.load(), renewed);

    const folder = `${stateDir}/certificates`;
    const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
    assert.deepEqual(names, [
      "previous",
      "swarm-node.copy.key",
      "swarm-node.crt",
      "swarm-node.key",
      "swarm-root-ca.crt",
    ]);
    const mode = (path: string) => (Deno.statSync(path).mode! & 0o777).toString(8);
    assert.equal(mode(folder), "700");
    assert.equal(mode(`${folder}/previous`), "700");
    for (const each of ["swarm-node.key", "swarm-node.copy.key", "previous/swarm-node.key"]) {
      assert.equal(mode(`${folder}/${each}`), "600");
    }
    await store.remove();
    assert.equal(await store.load(), undefined);
  } finally {
    await Deno.remove(stateDir, { recursive: true });
  }
});

Deno.test("Identity store: a power cut at any write of a renewal leaves the old identity or the new one", async () => {
  const cluster = await createTestCluster();
  const [first, second, third] = [await cluster.node("n"), await cluster.node("n"), await cluster.node("n")];
  const outcomes = new Set<string>();
  for (let failAt = 1;; failAt++) {
    const fs = new MemoryFileSystem();
    const store = new IdentityStore(fs, "/state");
    await store.save(first);
    await store.save(second);
    fs.failAt = fs.changes + failAt;
    const saved = await store.save(third).then(() => true, () => false);
    const loaded = await new IdentityStore(fs, "/state").load();
    const which = [first, second, third].findIndex((each) => each.certificatePEM === loaded?.certificatePEM);
    assert.ok(which === 1 || which === 2, `a cut at write ${failAt} left identity ${which}`);
    outcomes.add(which === 1 ? "old" : "new");
    fs.failAt = Infinity;
    await new IdentityStore(fs, "/state").save(third);
    assert.deepEqual(await store.load(), third);
    if (saved) break;
  }
  assert.deepEqual([...outcomes].sort(), ["new", "old"]);
});

Deno.test("Identity store: a power cut while the first identity is written leaves none, and the same key", async () => {
  const cluster = await createTestCluster();
  for (let failAt = 1;; failAt++) {
    const fs = new MemoryFileSystem();
    const store = new IdentityStore(fs, "/state");
    const privateKeyPEM = await store.pendingKey();
    const certificateChainPEM = await cluster.issue(privateKeyPEM, "node1");
    fs.failAt = fs.changes + failAt;
    const files = { rootCAPEM: cluster.root.certificatePEM, certificateChainPEM, privateKeyPEM };
    const saved = await store.save(files).then(() => true, () => false);
    const loaded = await store.load();
    if (saved) {
      assert.equal(loaded?.nodeID, "node1");
      break;
    }
    if (!loaded) assert.equal(await store.pendingKey(), privateKeyPEM);
  }
});

Deno.test("Identity store: a pending key survives restarts and a damaged one is replaced", async () => {
  const fs = new MemoryFileSystem();
  const key = await new IdentityStore(fs, "/state").pendingKey();
  assert.equal(await new IdentityStore(fs, "/state").pendingKey(), key);
  assert.equal(fs.modes.get(`${FOLDER}/swarm-node.pending.key`), 0o600);
  fs.files.set(`${FOLDER}/swarm-node.pending.key`, new TextEncoder().encode(key.slice(0, 60)));
  const replaced = await new IdentityStore(fs, "/state").pendingKey();
  assert.notEqual(replaced, key);
  publicKeyOf(replaced);
});

Deno.test("Identity store: says which part is damaged, missing or of another node or cluster", async () => {
  const cluster = await createTestCluster();
  const other = await createTestCluster();
  const node = await cluster.node("node1");
  const sibling = await cluster.node("node2");
  const cases: [string, string | undefined, RegExp][] = [
    ["swarm-node.key", sibling.privateKeyPEM, /the certificate was issued for another key/],
    ["swarm-node.key", "garbage", /Cannot read private key: it is not a P-256 key/],
    ["swarm-node.key", undefined, /swarm-node.key is missing/],
    ["swarm-root-ca.crt", undefined, /swarm-root-ca.crt is missing/],
    ["swarm-root-ca.crt", other.root.certificatePEM, /not signed by the root CA of this cluster/],
    ["swarm-node.crt", node.certificatePEM.slice(0, 200), /a CERTIFICATE block has no end line/],
    ["swarm-node.crt", "", /swarm-node.crt holds no certificate, it is empty; bring its files back, or, if/],
    ["swarm-node.crt", "\u0000\ufffd garbage", /swarm-node.crt holds no certificate, the file is damaged;/],
    ["swarm-root-ca.crt", "garbage", /swarm-root-ca.crt holds no certificate, the file is damaged;/],
  ];
  for (const [name, contents, message] of cases) {
    const fs = new MemoryFileSystem();
    const store = new IdentityStore(fs, "/state");
    await store.save(node);
    for (const each of [name, name.replace("node.key", "node.copy.key")]) {
      if (contents === undefined) fs.files.delete(`${FOLDER}/${each}`);
      else fs.files.set(`${FOLDER}/${each}`, new TextEncoder().encode(contents));
    }
    await assert.rejects(store.load(), (e) => {
      assert.ok(hasCode(e, "data_loss"), String(e));
      assert.match(e.message, /^Cannot load node identity from \/state\/certificates: /);
      assert.match(e.message, message);
      return true;
    });
  }
});

Deno.test("Identity store: saving what is there already writes nothing", async () => {
  const node = await (await createTestCluster()).node("node1");
  const fs = new MemoryFileSystem();
  const store = new IdentityStore(fs, "/state");
  await store.save(node);
  await store.save(node);
  const files = new Map(fs.files);
  const before = fs.changes;
  await store.save(node);
  assert.equal(fs.changes - before, 1, "only the removal of a pending key that is not there");
  assert.deepEqual(fs.files, files);
});

Deno.test("Identity store: the identity before can be erased, and the present one stays", async () => {
  const cluster = await createTestCluster();
  const [manager, worker] = [
    await cluster.node("n", "swarm-manager"),
    await cluster.node("n", "swarm-worker"),
  ];
  const fs = new MemoryFileSystem();
  const store = new IdentityStore(fs, "/state");
  await store.save(manager);
  await store.save(worker);
  const holding = (secret: string) =>
    [...fs.files].filter(([, file]) => new TextDecoder().decode(file).includes(secret));
  assert.ok(
    holding(manager.privateKeyPEM).length > 0,
    "until then it is kept, in case the renewal is cut short",
  );
  await store.forgetPrevious();
  await store.forgetPrevious();
  assert.deepEqual(holding(manager.privateKeyPEM), []);
  assert.deepEqual(await store.load(), worker);
});

Deno.test("Identity store: what cannot be read is not called damaged, and nobody is told to empty the folder", async () => {
  const store = new IdentityStore({
    ...systemFileSystem,
    readFile: () => Promise.reject(new Error("Input/output error (os error 5)")),
  }, "/state");
  await assert.rejects(store.load(), (thrown: Error) => {
    assert.ok(hasCode(thrown, "unavailable"), String(thrown));
    assert.match(thrown.message, /^Cannot read node identity in .*: Input\/output error/);
    assert.doesNotMatch(thrown.message, /empty|join again/);
    return true;
  });
});

Deno.test("Identity store: a key that is damaged or lost is made good from its copy, and the copy from the key", async () => {
  const node = await (await createTestCluster()).node("node1");
  for (const name of ["swarm-node.key", "swarm-node.copy.key"]) {
    for (const contents of ["garbage", node.privateKeyPEM.replace("M", "N"), undefined]) {
      const fs = new MemoryFileSystem(), store = new IdentityStore(fs, "/state");
      await store.save(node);
      if (contents === undefined) fs.files.delete(`${FOLDER}/${name}`);
      else fs.files.set(`${FOLDER}/${name}`, new TextEncoder().encode(contents));
      assert.ok((await store.keys()).includes(node.privateKeyPEM));
      assert.deepEqual(await store.load(), node);
      await store.keepKeyTwice(node);
      assert.deepEqual(await store.keys(), [node.privateKeyPEM]);
      assert.equal(fs.text(`${FOLDER}/${name}`), node.privateKeyPEM);
    }
  }
});

Deno.test("Identity store: private keys can be sealed, and then are nowhere in clear", async () => {
  const cluster = await createTestCluster(), sealKey = newKey();
  const [first, second, third] = [await cluster.node("n"), await cluster.node("n"), await cluster.node("n")];
  const fs = new MemoryFileSystem(), store = new IdentityStore(fs, "/state");
  await store.save(first);
  await store.save(second);
  const pending = await store.pendingKey();
  const keyFiles = () => [...fs.files.keys()].filter((path) => path.endsWith(".key"));
  const inClear = () => keyFiles().filter((path) => fs.text(path).includes("BEGIN PRIVATE KEY"));
  assert.deepEqual([keyFiles().length, inClear().length], [4, 4]);
  await store.useSealKey(sealKey);
  assert.deepEqual(inClear(), []);
  assert.deepEqual(await store.load(), second);
  assert.equal(await store.pendingKey(), pending);
  await store.save(third);
  const again = new IdentityStore(fs, "/state", sealKey);
  assert.deepEqual(await again.load(), third);
  assert.deepEqual(await again.keys(), [third.privateKeyPEM, second.privateKeyPEM]);
  await again.pendingKey();
  assert.deepEqual(inClear(), []);
  await assert.rejects(new IdentityStore(fs, "/state").load(), { message: /this manager is locked/ });
  await assert.rejects(new IdentityStore(fs, "/state", newKey()).load(), {
    message:
      /Cannot unseal \/state\/certificates\/swarm-node\.key: it is damaged, or was sealed with another/,
  });
  await again.useSealKey(undefined);
  assert.equal(inClear().length, keyFiles().length);
  assert.deepEqual(await new IdentityStore(fs, "/state").load(), third);
});

Deno.test("Identity store: a renewal and another seal at the same time do not stumble over each other", async () => {
  const cluster = await createTestCluster();
  const [first, second, third] = [await cluster.node("n"), await cluster.node("n"), await cluster.node("n")];
  const [one, other] = [
    crypto.getRandomValues(new Uint8Array(32)),
    crypto.getRandomValues(new Uint8Array(32)),
  ];
  for (const sealKey of [one, undefined]) {
    const fs = new MemoryFileSystem();
    const store = new IdentityStore(fs, "/state");
    await store.save(first);
    const all = [store.save(second), store.useSealKey(other), store.pendingKey(), store.keepKeyTwice(second)];
    const more = [store.save(third), store.useSealKey(undefined), store.useSealKey(sealKey), store.load()];
    await Promise.all([...all, ...more]);
    assert.deepEqual(await new IdentityStore(fs, "/state", sealKey).load(), third);
    const keys = [...fs.files.keys()].filter((path) => path.endsWith(".key"));
    assert.equal(keys.length, 3, "none is left half written");
    const areSealed = keys.map((path) => !fs.text(path).includes("BEGIN PRIVATE KEY"));
    assert.deepEqual(areSealed, keys.map(() => sealKey !== undefined));
  }
});

Deno.test("Identity store: power may go at any write while keys are sealed or unsealed", async () => {
  const cluster = await createTestCluster(), sealKey = newKey();
  const first = await cluster.node("n"), second = await cluster.node("n");
  for (const [before, after] of [[undefined, sealKey], [sealKey, undefined]]) {
    for (let failAt = 1;; failAt++) {
      const fs = new MemoryFileSystem(), store = new IdentityStore(fs, "/state", before);
      await store.save(first);
      await store.save(second);
      await store.pendingKey();
      fs.failAt = fs.changes + failAt;
      const done = await store.useSealKey(after).then(() => true, () => false);
      assert.deepEqual(await new IdentityStore(fs, "/state", sealKey).load(), second, `cut at ${failAt}`);
      if (done) break;
    }
  }
});
