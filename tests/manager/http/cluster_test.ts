import assert from "node:assert/strict";
import { SWARM_LOCKED, WRONG_UNLOCK_KEY } from "../../../api/docker_texts.ts";
import type { ClusterSpec } from "../../../api/cluster.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { NODE_ID, request, serviceBody, testAPI, testNode, testTask } from "./fake_node.ts";

const NOT_IN_A_SWARM = "This node is not a swarm manager. " +
  'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

Deno.test("Control API: a node outside a swarm, a worker and a swarm without a leader answer 503 in Docker's words", async () => {
  const { call, node } = await testAPI(new FakeClock(), { init: false });
  assert.deepEqual(await call("GET", "/nodes"), { status: 503, json: { message: NOT_IN_A_SWARM } });
  await node.join({ RemoteAddrs: [], JoinToken: "" });
  assert.match(
    (await call("GET", "/nodes")).json.message,
    /Worker nodes can't be used to view or modify cluster state/,
  );
  node.state = "pending";
  node.error = "Asks 192.0.2.1:2377 for a certificate";
  assert.match(
    (await call("GET", "/nodes")).json.message,
    /Manager is being prepared .* cluster\. \(Asks 192\.0\.2\.1:2377 for a certificate\)$/,
  );
  await node.init({});
  node.consensus!.setLeader(false);
  const { status, json } = await call("POST", "/services/create", serviceBody("web"));
  assert.equal(status, 503);
  assert.match(json.message, /The swarm does not have a leader/);
});

Deno.test("Control API: tells its version, and refuses versions it does not speak", async () => {
  const { api, call, node } = await testAPI(new FakeClock());
  const ping = await request(api, "/_ping", { method: "HEAD" });
  assert.equal(api.headers["Api-Version"], "1.51");
  assert.equal(api.headers["Ostype"], "linux");
  assert.equal(ping.headers.get("swarm"), "active/manager");
  assert.equal(await (await request(api, "/_ping")).text(), "OK");
  assert.deepEqual(await call("GET", "/v1.99/version"), {
    status: 400,
    json: { message: "client version 1.99 is too new. Maximum supported API version is 1.51" },
  });
  assert.match(
    (await call("GET", "/v1.10/version")).json.message,
    /too old. Minimum supported API version is 1\.24/,
  );
  assert.deepEqual(await call("GET", "/v1.51/nope"), { status: 404, json: { message: "page not found" } });
  assert.equal((await call("GET", "/v1.30/nodes")).status, 200);
  assert.match((await call("GET", "/containers/json")).json.message, /No container engine on this node/);
  await node.leave(true);
  assert.equal((await request(api, "/_ping")).headers.get("swarm"), "inactive");
});

Deno.test("Swarm: init passes the spec on with defaults filled in, and refuses what is not there yet", async () => {
  const { call, node } = await testAPI(new FakeClock(), { init: false });
  const bad = await call("POST", "/swarm/init", { DataPathPort: 80, Availability: "gone" });
  assert.equal(bad.status, 400);
  assert.match(
    bad.json.message,
    /Availability: invalid Availability: "gone"; DataPathPort: Datapath port number is not in valid range/,
  );
  const body = {
    ListenAddr: "0.0.0.0:2377",
    AdvertiseAddr: "",
    Spec: { Dispatcher: { HeartbeatPeriod: 2e9 } },
  };
  assert.deepEqual(await call("POST", "/swarm/init", body), { status: 200, json: NODE_ID });
  const asked = node.asked[0] as { ListenAddr: string; Spec: { Dispatcher: unknown; Raft: unknown } };
  assert.equal(asked.ListenAddr, "0.0.0.0:2377");
  assert.deepEqual(asked.Spec.Dispatcher, { HeartbeatPeriod: 2e9 });
  assert.match((await call("POST", "/swarm/init", {})).json.message, /already part of a swarm/);
  assert.match(
    (await call("POST", "/swarm/leave")).json.message,
    /Removing the last manager erases all current state/,
  );
  assert.equal((await call("POST", "/swarm/leave?force=1")).status, 200);
  assert.deepEqual(await call("POST", "/swarm/leave"), {
    status: 503,
    json: { message: "This node is not part of a swarm", reason: "wrong_state" },
  });
});

Deno.test("Swarm: init answers once the agent beside the manager has told of the node, or is overdue", async () => {
  const clock = new FakeClock();
  const { call, node, store } = await testAPI(clock, { init: false });
  node.hasAgent = true;
  const setState = (State: "ready" | "unknown") =>
    store().update((tx) => tx.update("nodes", { ...tx.get("nodes", NODE_ID)!, Status: { State, Addr: "" } }));
  node.onInit = () => setState("unknown");
  const ends = [() => setState("ready"), () => clock.advance(20_000)];
  for (const end of ends) {
    let answered = false;
    const answer = call("POST", "/swarm/init", {}).finally(() => answered = true);
    while (node.state !== "active") await settle();
    await settle();
    assert.equal(answered, false);
    await end();
    assert.equal((await answer).status, 200);
    await call("POST", "/swarm/leave?force=1");
  }
  assert.equal(clock.pending, 0);
});

Deno.test("Swarm: starting anew by force changes what its spec names and keeps the rest", async () => {
  const { call, node } = await testAPI(new FakeClock());
  const before = (await call("GET", "/swarm")).json;
  await call("POST", `/swarm/update?version=${before.Version.Index}`, {
    Orchestration: { TaskHistoryRetentionLimit: 2 },
  });
  const Spec = { raft: { ElectionTick: 20 } };
  assert.equal((await call("POST", "/swarm/init", { ForceNewCluster: true, Spec })).status, 200);
  const asked = (node.asked.at(-1) as { Spec: ClusterSpec }).Spec;
  assert.deepEqual([asked.Orchestration.TaskHistoryRetentionLimit, asked.Raft.ElectionTick], [2, 20]);
});

Deno.test("Swarm: an update replaces the spec, rotates the token asked for and needs the latest version", async () => {
  const { call } = await testAPI(new FakeClock());
  const before = (await call("GET", "/swarm")).json;
  assert.equal(before.RootCA, undefined);
  assert.doesNotMatch(JSON.stringify(before), /PRIVATE KEY/);
  assert.match(before.TLSInfo.CertIssuerPublicKey, /^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/);
  const path = `/swarm/update?version=${before.Version.Index}`;
  await call("POST", path, { Labels: { a: "b" }, Raft: { ElectionTick: 20 } });
  const labelled = (await call("GET", "/swarm")).json;
  assert.deepEqual(labelled.Spec.Labels, { a: "b" });
  const change = { Name: "default", Orchestration: { TaskHistoryRetentionLimit: 2 } };
  const next = `/swarm/update?version=${labelled.Version.Index}`;
  assert.equal((await call("POST", `${next}&rotateWorkerToken=true`, change)).status, 200);
  const after = (await call("GET", "/swarm")).json;
  assert.deepEqual(after.Spec, { ...before.Spec, Orchestration: { TaskHistoryRetentionLimit: 2 } });
  assert.notEqual(after.JoinTokens.Worker, before.JoinTokens.Worker);
  assert.equal(after.JoinTokens.Manager, before.JoinTokens.Manager);
  assert.match((await call("POST", path, change)).json.message, /update out of sequence/);
  const latest = `/swarm/update?version=${after.Version.Index}`;
  assert.match(
    (await call("POST", latest, { Name: "x" })).json.message,
    /swarm spec must be named "default"/,
  );
  assert.equal((await call("POST", latest, { Raft: { ElectionTick: 1, HeartbeatTick: 20 } })).status, 200);
});

Deno.test("Swarm: a changed ForceRotate begins with another root, which is shown and whose key is not", async () => {
  const { call, store } = await testAPI(new FakeClock(), { init: false });
  assert.equal((await call("POST", "/swarm/init", { Spec: { CAConfig: { ForceRotate: 6 } } })).status, 200);
  const shown = (await call("GET", "/swarm")).json;
  assert.deepEqual([shown.Spec.CAConfig.ForceRotate, shown.RootRotationInProgress], [6, false]);
  const update = async (body: unknown) => {
    const { Version } = (await call("GET", "/swarm")).json;
    const answer = await call("POST", `/swarm/update?version=${Version.Index}`, body);
    return { answer, after: (await call("GET", "/swarm")).json };
  };
  // Who sends the same number, or knows of none, rotates nothing.
  for (const body of [shown.Spec, {}, { CAConfig: { ForceRotate: 0 } }]) {
    const { after } = await update(body);
    assert.deepEqual([after.Spec.CAConfig.ForceRotate, after.RootRotationInProgress], [6, false]);
  }
  const { after } = await update({ CAConfig: { ForceRotate: 7 } });
  assert.deepEqual([after.Spec.CAConfig.ForceRotate, after.RootRotationInProgress], [7, true]);
  assert.equal(after.TLSInfo.TrustRoot, shown.TLSInfo.TrustRoot);
  assert.notEqual(after.TLSInfo.CertIssuerPublicKey, shown.TLSInfo.CertIssuerPublicKey);
  assert.deepEqual(after.JoinTokens, shown.JoinTokens);
  const info = (await call("GET", "/info")).json.Swarm.Cluster;
  assert.equal(info.RootRotationInProgress, true);
  assert.doesNotMatch(JSON.stringify([after, info]), /PRIVATE KEY|CrossSigned/);
  const first = store().all("clusters")[0]!.RootCA.RootRotation!;
  await update({ CAConfig: { ForceRotate: 8 } });
  assert.notEqual(store().all("clusters")[0]!.RootCA.RootRotation!.CACert, first.CACert);
  const forced = { ForceNewCluster: true, Spec: { CAConfig: { ForceRotate: 9 } } };
  assert.match(
    (await call("POST", "/swarm/init", forced)).json.message,
    /not available together with ForceNewCluster/,
  );
});

Deno.test("Swarm: a root of the user's own is checked in full, taken, and ends a rotation that it is the present one of", async () => {
  const clock = new FakeClock(), { api, call, store } = await testAPI(clock);
  const { root } = await createTestCluster("other", clock);
  const RootCA = () => store().all("clusters")[0]!.RootCA;
  const present = RootCA();
  const update = async (CAConfig: unknown) => {
    const { Version } = (await call("GET", "/swarm")).json;
    return await call("POST", `/swarm/update?version=${Version.Index}`, { CAConfig });
  };
  const own = { SigningCACert: root.certificatePEM, SigningCAKey: root.privateKeyPEM };
  const wrong = await update({ SigningCACert: root.certificatePEM, SigningCAKey: present.CAKey });
  assert.equal(wrong.status, 400);
  assert.match(wrong.json.message, /CAConfig.SigningCAKey: the signing CA key does not match/);
  assert.doesNotMatch(wrong.json.message, /PRIVATE/);
  assert.match(
    (await update({ SigningCAKey: present.CAKey })).json.message,
    /SigningCACert: if a signing CA key/,
  );
  const stock = await api.app.request("/swarm/update?version=1", {
    method: "POST",
    headers: { "User-Agent": "Docker-Client/28" },
    body: JSON.stringify({ CAConfig: { SigningCAKey: present.CAKey } }),
  }, { caller: ADMINISTRATOR });
  assert.equal(
    (await stock.json()).message,
    "rpc error: code = InvalidArgument desc = if a signing CA key is provided, the signing CA cert must also be provided",
  );
  assert.equal((await update(own)).status, 200);
  assert.equal(RootCA().RootRotation?.CACert, root.certificatePEM);
  assert.doesNotMatch(JSON.stringify((await call("GET", "/swarm")).json), /PRIVATE|Signing/);
  assert.doesNotMatch(JSON.stringify(store().all("clusters")[0]!.Spec), /PRIVATE|Signing/);
  const { CrossSignedCert } = RootCA().RootRotation!;
  assert.equal((await update(own)).status, 200);
  assert.equal(RootCA().RootRotation!.CrossSignedCert, CrossSignedCert);
  await update({ SigningCACert: present.CACert, SigningCAKey: present.CAKey });
  assert.deepEqual(RootCA(), present);
});

Deno.test("Nodes: an update sets labels and availability; the last manager cannot be demoted", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { Version } = (await call("GET", `/nodes/${NODE_ID}`)).json;
  const path = `/nodes/${NODE_ID}/update?version=${Version.Index}`;
  const demoted = await call("POST", path, { Role: "worker", Availability: "active" });
  assert.deepEqual(demoted, {
    status: 400,
    json: {
      message:
        "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm",
    },
  });
  const wrong = await call("POST", path, { Role: "boss" });
  assert.match(wrong.json.message, /Role: invalid Role: "boss"; Availability: invalid Availability: ""/);
  await call("POST", path, { Role: "manager", Availability: "drain", Labels: { a: "b" } });
  assert.deepEqual(store().get("nodes", NODE_ID)!.Spec, {
    Name: "",
    Labels: { a: "b" },
    Role: "manager",
    Availability: "drain",
  });
});

Deno.test("Nodes: removing one that is up needs force, refuses its certificate and orphans its tasks", async () => {
  const clock = new FakeClock();
  const { call, store } = await testAPI(clock);
  await call("POST", "/services/create", serviceBody("web"));
  await store().update((tx) => {
    tx.create("nodes", testNode("w1"));
    const service = tx.all("services")[0]!;
    tx.create("tasks", testTask(service, "t1", { NodeID: "w1" }));
    const Status = { Timestamp: "", State: "failed" as const, Message: "it broke" };
    tx.create("tasks", testTask(service, "t2", { NodeID: "w1", Status }));
  });
  assert.match((await call("DELETE", "/nodes/w1")).json.message, /node w1 is not down and can't be removed/);
  assert.match(
    (await call("DELETE", `/nodes/${NODE_ID}?force=1`)).json.message,
    /must be demoted to worker before/,
  );
  assert.equal((await call("DELETE", "/nodes/w1?force=1")).status, 200);
  assert.equal(store().get("nodes", "w1"), undefined);
  assert.equal(store().get("tasks", "t1")!.Status.State, "orphaned");
  assert.equal(store().get("tasks", "t2")!.Status.Message, "it broke");
  const refused = store().all("clusters")[0]!.BlacklistedCertificates;
  assert.ok(Date.parse(refused.w1!) > clock.now());
  assert.deepEqual(await call("DELETE", "/nodes/w1"), {
    status: 404,
    json: { message: "node w1 not found" },
  });
});

Deno.test("Nodes: filters by role, membership, name, engine label and node label", async () => {
  const { call, store } = await testAPI(new FakeClock());
  await store().update((tx) => {
    const node = testNode("w1");
    tx.create("nodes", { ...node, Spec: { ...node.Spec, Labels: { disk: "ssd" } } });
  });
  const ids = async (filters: unknown) => {
    const { json } = await call("GET", `/nodes?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    return Array.isArray(json) ? json.map((each: { ID: string }) => each.ID) : json.message;
  };
  assert.deepEqual(await ids({ role: ["manager"] }), [NODE_ID]);
  assert.deepEqual(await ids({ name: ["w1"] }), ["w1"]);
  assert.deepEqual(await ids({ label: ["zone=a"] }), [NODE_ID, "w1"]);
  assert.deepEqual(await ids({ "node.label": ["disk=ssd"] }), ["w1"]);
  assert.deepEqual(await ids({ membership: ["pending"] }), []);
  assert.equal(await ids({ role: ["x"] }), "Invalid role filter: 'x'");
});

Deno.test("Events: follow what happens, filtered, until the time given", async () => {
  const clock = new FakeClock();
  const { api, call } = await testAPI(clock);
  const filters = encodeURIComponent(JSON.stringify({ type: ["service"], event: ["update"] }));
  const response = await request(api, `/events?until=${clock.now() / 1000 + 5}&filters=${filters}`);
  await call("POST", "/services/create", serviceBody("web"));
  const { Version, Spec } = (await call("GET", "/services/web")).json;
  await call("POST", `/services/web/update?version=${Version.Index}`, {
    ...Spec,
    Mode: { Replicated: { Replicas: 2 } },
  });
  await clock.advance(5_000);
  const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.Actor.Attributes), [{
    name: "web",
    "replicas.old": "1",
    "replicas.new": "2",
  }]);
  assert.match((await call("GET", "/events?since=soon")).json.message, /invalid value for since: soon/);
});

Deno.test("Nodes: a manager without an agent tells of itself, but not over what an agent that runs has told", async () => {
  const { call, store } = await testAPI(new FakeClock());
  await store().update((tx) => {
    tx.create("nodes", testNode("alone", { Role: "manager", State: "unknown" }));
    tx.create("nodes", testNode("worker"));
  });
  const description = {
    ...testNode("x").Description!,
    Hostname: "attic",
    Runtimes: [],
    ManagerOnly: true,
  };
  const tell = (id: string, body: unknown = description) =>
    call("POST", `/covey/nodes/${id}/description`, body);
  assert.equal((await tell("alone")).status, 200);
  const { Description, Status } = (await call("GET", "/nodes/alone")).json;
  assert.deepEqual([Description.Hostname, Description.ManagerOnly, Status.State], ["attic", true, "unknown"]);
  assert.match(Status.Message, /runs no tasks/);
  assert.equal((await tell(NODE_ID)).status, 200);
  assert.equal((await call("GET", `/nodes/${NODE_ID}`)).json.Description.Hostname, `${NODE_ID}.local`);
  assert.equal((await tell("worker")).status, 400);
  assert.equal((await tell("nobody")).status, 404);
  assert.equal((await tell("alone", { Hostname: 5 })).status, 400);
});

Deno.test("Swarm: init takes pools, mask length and the carrier of overlay networks, each checked", async () => {
  const { call, node } = await testAPI(new FakeClock(), { init: false });
  const refused = async (body: object, message: RegExp) => {
    const { status, json } = await call("POST", "/swarm/init", body);
    assert.deepEqual([status, message.test(json.message)], [400, true], json.message);
  };
  await refused(
    { DataPathPort: 70_000 },
    /DataPathPort: Datapath port number is not in valid range \(1024-49151\) : 70000/,
  );
  await refused({ SubnetSize: 30 }, /SubnetSize: subnet size is out of range: 30/);
  await refused({ DefaultAddrPool: ["x"] }, /DefaultAddrPool\[0\]: must be an IPv4 network/);
  await refused({ DefaultAddrPool: ["10.1.0.0/26"], SubnetSize: 24 }, /Subnet size is too small 24/);
  await refused(
    { DefaultAddrPool: ["10.1.0.0/16", "10.1.2.0/24"] },
    /10.1.2.0\/24 overlaps with 10.1.0.0\/16/,
  );
  await refused({ DefaultAddrPool: ["224.0.0.0/8"] }, /addresses that no host has/);
  const networks = { DefaultAddrPool: ["10.20.0.0/16", "10.30.0.0/16"], SubnetSize: 26, DataPathPort: 7777 };
  await call("POST", "/swarm/init", { ...networks, DataPathAddr: "192.0.2.7" });
  const { DefaultAddrPool, SubnetSize, DataPathPort, DataPathAddr } = node.asked[0] as Record<
    string,
    unknown
  >;
  assert.deepEqual({ DefaultAddrPool, SubnetSize, DataPathPort }, networks);
  assert.equal(DataPathAddr, "192.0.2.7");
});

Deno.test("Swarm: the unlock key is there with the lock, changes when asked to, and is shown nowhere else", async () => {
  const { call } = await testAPI(new FakeClock());
  const key = async () => (await call("GET", "/swarm/unlockkey")).json.UnlockKey;
  const update = async (AutoLockManagers: boolean, query = "") => {
    const { Version, Spec } = (await call("GET", "/swarm")).json;
    const body = { ...Spec, EncryptionConfig: { AutoLockManagers } };
    return await call("POST", `/swarm/update?version=${Version.Index}${query}`, body);
  };
  assert.equal(await key(), "");
  assert.equal((await update(false, "&rotateManagerUnlockKey=true")).status, 200);
  assert.equal(await key(), "", "without a lock there is nothing to rotate, which Docker takes too");
  assert.equal((await update(true)).status, 200);
  const first = await key();
  assert.match(first, /^SWMKEY-1-[A-Za-z0-9+/]{43}$/);
  await update(true);
  assert.equal(await key(), first);
  await update(true, "&rotateManagerUnlockKey=1");
  const second = await key();
  assert.notEqual(second, first);
  for (const path of ["/swarm", "/info", "/nodes", "/swarm/unlockkey"]) {
    const text = JSON.stringify((await call("GET", path)).json);
    assert.equal(text.includes(second), path === "/swarm/unlockkey", path);
  }
  await update(false);
  assert.equal(await key(), "");
});

Deno.test("Swarm: a locked node refuses all but the key, in Docker's words and with its status codes", async () => {
  const { call, node } = await testAPI(new FakeClock());
  node.state = "locked";
  node.unlockKey = "right";
  const locked = { status: 503, json: { message: SWARM_LOCKED } };
  for (const path of ["/swarm", "/swarm/unlockkey", "/nodes", "/services", "/tasks", "/secrets"]) {
    assert.deepEqual(await call("GET", path), locked, path);
  }
  assert.deepEqual(await call("POST", "/services/create", serviceBody("web")), locked);
  assert.deepEqual(await call("POST", "/swarm/update?version=1", { Name: "default" }), locked);
  assert.match((await call("POST", "/swarm/init", {})).json.message, /already part of a swarm/);
  const { status, json } = await call("POST", "/swarm/leave");
  assert.deepEqual([status, /encrypted and locked/.test(json.message)], [503, true]);
  assert.equal((await call("GET", "/info")).json.Swarm.LocalNodeState, "locked");
  const wrong = await call("POST", "/swarm/unlock", { UnlockKey: "wrong" });
  assert.deepEqual([wrong.status, wrong.json.message], [401, WRONG_UNLOCK_KEY]);
  assert.equal((await call("POST", "/swarm/unlock", { UnlockKey: 5 })).status, 400);
  assert.deepEqual(node.asked.at(-1), { key: "wrong" });
  assert.equal((await call("POST", "/swarm/unlock", { UnlockKey: "right" })).status, 200);
  assert.equal((await call("GET", "/swarm")).status, 200);
  assert.equal((await call("POST", "/swarm/unlock", { UnlockKey: "right" })).status, 409);
});

Deno.test("Swarm: init locks when the request or its spec says so", async () => {
  const bodies = [{ AutoLockManagers: true }, { Spec: { EncryptionConfig: { AutoLockManagers: true } } }];
  for (const body of bodies) {
    const { call, node } = await testAPI(new FakeClock(), { init: false });
    assert.equal((await call("POST", "/swarm/init", body)).status, 200);
    const { Spec, ...rest } = node.asked[0] as { Spec: ClusterSpec; AutoLockManagers?: unknown };
    assert.deepEqual(Spec.EncryptionConfig, { AutoLockManagers: true });
    assert.equal(Object.hasOwn(rest, "AutoLockManagers"), false);
  }
});
