/** The swarm's own networks: made, shown, filtered, used and removed through the control API. */
import assert from "node:assert/strict";
import type { Network } from "../../../api/network.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { responseProblems } from "./docker_schema.ts";
import { request, serviceBody, testAPI, testTask } from "./fake_node.ts";

const overlay = (Name: string, over: object = {}) => ({ Name, Driver: "overlay", ...over });
const config = (...Config: object[]) => ({ IPAM: { Driver: "default", Config } });

/** An API with a node that can do overlay networks. */
async function meshAPI() {
  const api = await testAPI(new FakeClock());
  await api.store().update((tx) => {
    const node = tx.all("nodes")[0]!;
    tx.update("nodes", {
      ...node,
      Description: { ...node.Description!, OverlayRuntimes: ["container"] },
      Status: { ...node.Status, Addr: "10.0.2.7" },
    });
  });
  const create = async (body: object) => {
    const { status, json } = await api.call("POST", "/networks/create", body);
    assert.equal(status, 201, json.message);
    assert.deepEqual(responseProblems("POST", "/networks/create", 201, json), []);
    return json.Id as string;
  };
  const refused = async (body: unknown, status: number, message: RegExp, path = "/networks/create") => {
    const answer = await api.call("POST", path, body);
    assert.equal(answer.status, status, answer.json.message);
    assert.match(answer.json.message, message);
  };
  return { ...api, create, refused };
}

const attached = (name: string, over: object = {}, ...targets: string[]) =>
  serviceBody(name, {
    TaskTemplate: {
      ContainerSpec: { Image: "busybox:local" },
      ...(targets.length > 0 && { Networks: targets.map((Target) => ({ Target })) }),
    },
    ...over,
  });
const published = (...Ports: object[]) => ({ EndpointSpec: { Ports } });

Deno.test("Swarm networks: each gets a subnet of the pool that collides with no other and with no node", async () => {
  const { call, create } = await meshAPI();
  await create(overlay("ingress-too", { Ingress: true }));
  for (const name of ["a", "b", "c"]) await create(overlay(name));
  const { json } = await call("GET", "/networks?filters=" + encodeURIComponent('{"driver":["overlay"]}'));
  assert.deepEqual(responseProblems("GET", "/networks", 200, json), []);
  const shown = json.map((
    { Name, IPAM, Options }: { Name: string; IPAM: { Config: object[] }; Options: object },
  ) => [
    Name,
    IPAM.Config,
    Options,
  ]);
  const vni = (id: number) => ({ "com.docker.network.driver.overlay.vxlanid_list": String(id) });
  assert.deepEqual(shown, [
    ["ingress-too", [{ Subnet: "10.0.0.0/24", Gateway: "10.0.0.1" }], vni(4096)],
    ["a", [{ Subnet: "10.0.1.0/24", Gateway: "10.0.1.1" }], vni(4097)],
    // A node has an address of 10.0.2.0/24.
    ["b", [{ Subnet: "10.0.3.0/24", Gateway: "10.0.3.1" }], vni(4098)],
    ["c", [{ Subnet: "10.0.4.0/24", Gateway: "10.0.4.1" }], vni(4099)],
  ]);
});

Deno.test("Swarm networks: one may name its VXLAN identifier, which is nobody else's", async () => {
  const { call, create, refused } = await meshAPI();
  const OPTION = "com.docker.network.driver.overlay.vxlanid_list";
  const named = (vni: string) => ({ Options: { [OPTION]: vni } });
  await create(overlay("first", named("257")));
  await create(overlay("second", named("4097")));
  for (const name of ["third", "fourth"]) await create(overlay(name));
  await refused(overlay("fifth", named("257")), 400, /vxlanid_list: 257 is the identifier of network first/);
  const shown = async (name: string) => (await call("GET", `/networks/${name}`)).json.Options[OPTION];
  assert.deepEqual(
    await Promise.all(["first", "second", "third", "fourth"].map(shown)),
    ["257", "4097", "4096", "4098"],
  );
});

Deno.test("Swarm networks: all that can be asked for is kept and shown, and found by ID, name and prefix", async () => {
  const { call, create } = await meshAPI();
  const subnet = {
    Subnet: "10.9.0.0/16",
    IPRange: "10.9.4.0/24",
    Gateway: "10.9.0.7",
    AuxiliaryAddresses: { router: "10.9.4.9" },
  };
  const asked = overlay("shop", {
    CheckDuplicate: true,
    Scope: "swarm",
    Internal: true,
    Attachable: true,
    Labels: { tier: "back" },
    Options: { "com.docker.network.driver.mtu": "1300" },
    ...config(subnet, { Subnet: "10.10.0.5/24" }),
  });
  const id = await create(asked);
  for (const reference of [id, "shop", id.slice(0, 24)]) {
    const { status, json } = await call("GET", `/networks/${reference}`);
    assert.equal(status, 200);
    assert.deepEqual(responseProblems("GET", "/networks/x", 200, json), []);
    assert.deepEqual([json.Id, json.Internal, json.Attachable, json.Labels], [id, true, true, {
      tier: "back",
    }]);
    assert.deepEqual(json.IPAM.Config, [subnet, { Subnet: "10.10.0.0/24", Gateway: "10.10.0.1" }]);
    assert.equal(json.Options["com.docker.network.driver.mtu"], "1300");
  }
  await create(overlay("usual", { Options: { "com.docker.network.driver.mtu": "0" } }));
  assert.equal((await call("GET", "/networks/SHOP")).status, 404);
  assert.equal((await call("GET", "/networks/shop?scope=local")).status, 404);
  assert.deepEqual((await call("GET", "/networks/nosuch")).json.message, "network nosuch not found");
});

Deno.test("Swarm networks: filters are Docker's", async () => {
  const { call, create } = await meshAPI();
  const id = await create(overlay("front", { Labels: { tier: "web" } }));
  await create(overlay("back"));
  assert.equal((await call("POST", "/services/create", attached("web", {}, "front"))).status, 201);
  const names = async (filters: object) =>
    (await call("GET", `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`)).json
      .map(({ Name }: { Name: string }) => Name);
  assert.deepEqual(await names({ type: ["custom"] }), ["front", "back"]);
  assert.deepEqual(await names({ name: ["ro"] }), ["front"]);
  assert.deepEqual(await names({ id: [id] }), ["front"]);
  assert.deepEqual(await names({ label: ["tier=web"] }), ["front"]);
  assert.deepEqual(await names({ scope: ["swarm"], driver: ["overlay"] }), ["front", "back"]);
  assert.deepEqual(await names({ dangling: ["true"] }), ["back"]);
  assert.deepEqual(await names({ dangling: ["0"], driver: ["overlay"] }), ["front"]);
  for (
    const [filters, message] of [
      ['{"type":["x"]}', "invalid filter: 'type'='x'"],
      ['{"dangling":["x"]}', /invalid value for filter 'dangling', must be "true"/],
      ['{"nosuch":["x"]}', "Invalid filter 'nosuch'"],
    ] as const
  ) {
    const { status, json } = await call("GET", `/networks?filters=${encodeURIComponent(filters)}`);
    assert.equal(status, 400);
    if (typeof message === "string") assert.equal(json.message, message);
    else assert.match(json.message, message);
  }
});

Deno.test("Swarm networks: what cannot be is refused by name, before anything is stored", async () => {
  const { create, refused, store } = await meshAPI();
  await create(overlay("a"));
  await create(overlay("the-mesh", { Ingress: true }));
  const before = store().all("networks").length;
  for (const more of [{}, { Scope: "local" }]) {
    await refused(overlay("a", more), 409, /^network with name a already exists$/);
  }
  await refused(overlay("A"), 409, /network with name A already exists/);
  for (const name of ["host", "bridge"]) {
    await refused(overlay(name), 409, new RegExp(`^network with name ${name} already exists$`));
    await refused(overlay(name.toUpperCase()), 409, /network with name [A-Z]+ already exists/);
  }
  for (const name of ["none", "default"]) {
    const predefined = new RegExp(`^operation is not permitted on predefined ${name} network $`);
    for (const more of [{}, { Scope: "local" }]) await refused(overlay(name, more), 403, predefined);
  }
  await refused(overlay("m2", { Ingress: true }), 409, /ingress network \(\w+\) is already present/);
  await refused(
    overlay("x", { Scope: "local" }),
    403,
    /^cannot downgrade network scope for overlay networks$/,
  );
  const wrong: [object, RegExp][] = [
    [{ Driver: "overlay" }, /invalid name: /],
    [overlay("x y"), /name must be valid as a DNS name component/],
    [overlay("x".repeat(64)), /name must be 63 characters or fewer/],
    [{ Name: "x", Driver: "bridge" }, /Driver: the swarm's networks are of the driver overlay, not bridge/],
    [{ Name: "x", Scope: "swarm" }, /driver name: if driver is specified name is required/],
    [overlay("x", { Scope: "global" }), /Scope: an overlay network is of the swarm/],
    [overlay("x", { Ingress: true, Attachable: true }), /ingress network cannot be attachable/],
    [overlay("x", { EnableIPv6: true }), /EnableIPv6: IPv6 in overlay networks is not available yet/],
    [overlay("x", { EnableIPv4: false }), /EnableIPv4: /],
    [overlay("x", { ConfigFrom: { Network: "y" } }), /ConfigFrom.Network: /],
    [overlay("x", { IPAM: { Driver: "other" } }), /error during lookup of plugin other/],
    [overlay("x", { IPAM: { Options: { a: "b" } } }), /IPAM.Options: /],
    [overlay("x", { Options: { encrypted: "" } }), /encrypted overlay networks are not available yet/],
    ...["x", "", "575"].map((mtu): [object, RegExp] => [
      overlay("x", { Options: { "com.docker.network.driver.mtu": mtu } }),
      /must be 576 to 65535/,
    ]),
    ...["0", "257,258", "0x5", "16777216", ""].map((list): [object, RegExp] => [
      overlay("x", { Options: { "com.docker.network.driver.overlay.vxlanid_list": list } }),
      /vxlanid_list: must be one number, 1 to 16777215: current value is "/,
    ]),
    [
      overlay("x", config({ Subnet: "nonsense" })),
      /Invalid subnet nonsense : invalid CIDR address: nonsense/,
    ],
    [overlay("x", config({ Subnet: "fd00::/64" })), /IPv6 in overlay networks is not available yet/],
    [overlay("x", config({ Subnet: "10.7.0.0/31" })), /must have a mask of 8 to 30 bits/],
    [overlay("x", config({ Subnet: "127.1.0.0/16" })), /has no addresses of hosts/],
    [overlay("x", config({ IPRange: "10.7.0.0/24" })), /Invalid subnet {2}: invalid CIDR address: /],
    [
      overlay("x", config({ Subnet: "10.7.0.0/24", IPRange: "10.8.0.0/24" })),
      /does not contain range 10.8.0.0/,
    ],
    [overlay("x", config({ Subnet: "10.7.0.0/24", IPRange: "y" })), /invalid range y/],
    [
      overlay("x", config({ Subnet: "10.7.0.0/24", Gateway: "10.8.0.1" })),
      /does not contain gateway 10.8.0.1/,
    ],
    [
      overlay("x", config({ Subnet: "10.7.0.0/24", Gateway: "10.7.0.0" })),
      /no host has the address 10.7.0.0/,
    ],
    [overlay("x", config({ Subnet: "10.7.0.0/24", Gateway: "y" })), /invalid gateway y/],
    [
      overlay("x", config({ Subnet: "10.7.0.0/24", AuxiliaryAddresses: { r: "10.8.0.1" } })),
      /AuxiliaryAddresses.r: .*does not contain 10.8.0.1/,
    ],
    [
      overlay("x", config({ Subnet: "10.7.0.0/24" }, { Subnet: "10.7.0.0/25" })),
      /overlaps with .* same network/,
    ],
    [
      overlay("x", config({ Subnet: "10.0.0.0/16" })),
      /subnet 10.0.0.0\/16 overlaps with 10.0.\d.0\/24 of network/,
    ],
    [overlay("x", config({ Subnet: "10.0.2.0/28" })), /holds the address 10.0.2.7 of node node.local/],
    [overlay("x", { Labels: { "a\u202eb": "c" } }), /Labels/],
  ];
  for (const [body, message] of wrong) await refused(body, 400, message);
  await refused("[]", 400, /cannot unmarshal array into object/);
  assert.equal(store().all("networks").length, before);
});

Deno.test("Swarm networks: one that is in use is not removable, in Docker's words; one that is removed lasts until it is empty", async () => {
  const { call, create, store } = await meshAPI();
  const a = await create(overlay("a")), mesh = await create(overlay("the-mesh", { Ingress: true }));
  const web = attached("web", published({ TargetPort: 80, PublishedPort: 8080 }), "a");
  const service = (await call("POST", "/services/create", web)).json.ID;
  const remove = async (reference: string) => {
    const { status, json } = await call("DELETE", `/networks/${reference}`);
    return [status, json?.message?.replace("rpc error: code = FailedPrecondition desc = ", "")];
  };
  assert.deepEqual(await remove("a"), [400, `network ${a} is in use by service ${service}`]);
  const needed = `ingress network cannot be removed because service ${service} depends on it`;
  assert.deepEqual(await remove("the-mesh"), [400, needed]);
  assert.deepEqual(await remove("nosuch"), [404, "network nosuch not found"]);
  assert.deepEqual(await remove("host"), [403, "host is a pre-defined network and cannot be removed"]);
  const stored = store().get("services", service)!;
  const task = testTask(stored, "t1", { NetworkAttachments: [{ NetworkID: a, Addresses: ["10.0.0.9/24"] }] });
  await store().update((tx) => tx.create("tasks", task));
  const plain = serviceBody("web");
  await call("POST", `/services/${service}/update?version=${stored.Version.Index}`, plain);
  assert.deepEqual(await remove("a"), [400, `network ${a} is in use by task t1`]);
  await call("DELETE", `/services/${service}`);
  assert.deepEqual(await remove(a), [204, undefined]);
  assert.equal((await call("GET", "/networks/a")).status, 404);
  assert.notEqual(store().get("networks", a)!.RemovedAt, undefined);
  // Its name is free, what it was given is not.
  const second = await create(overlay("a"));
  const { Subnets, VNI } = store().get("networks", second) as Network;
  const first = store().get("networks", a) as Network;
  assert.notEqual(VNI, first.VNI);
  assert.notDeepEqual(Subnets, first.Subnets);
  assert.deepEqual((await call("POST", "/networks/prune")).json, { NetworksDeleted: ["a"] });
  assert.deepEqual((await call("POST", "/networks/prune")).json, { NetworksDeleted: null });
  assert.deepEqual(await remove(mesh), [204, undefined]);
});

Deno.test("Swarm networks: prune has its filters", async () => {
  const { call, create } = await meshAPI();
  for (const [name, label] of [["x", "keep"], ["y", "drop"], ["z", "other"]] as const) {
    await create(overlay(name, { Labels: { [label]: "1" } }));
  }
  const prune = async (filters: object) =>
    (await call("POST", `/networks/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`)).json;
  assert.deepEqual(await prune({ until: ["24h"] }), { NetworksDeleted: null });
  assert.deepEqual(await prune({ label: ["drop"] }), { NetworksDeleted: ["y"] });
  assert.deepEqual(await prune({ "label!": ["keep"] }), { NetworksDeleted: ["z"] });
  assert.match((await prune({ until: ["soon"] })).message, /invalid value for until: soon/);
  assert.match((await prune({ name: ["x"] })).message, /Invalid filter 'name'/);
});

Deno.test("Swarm networks: a service names them as users do, and is refused what it cannot have", async () => {
  const { call, create, refused, store } = await meshAPI();
  const a = await create(overlay("a")), path = "/services/create";
  await refused(attached("s", published({ TargetPort: 80 })), 400, /no ingress network is present/, path);
  for (const [index, target] of [a, "a", a.slice(0, 24)].entries()) {
    const { json } = await call("POST", path, attached(`s${index}`, {}, target));
    assert.equal(store().get("services", json.ID)!.Spec.TaskTemplate.Networks![0]!.Target, a, json.message);
  }
  const mesh = await create(overlay("mesh", { Ingress: true }));
  await refused(attached("x", {}, "nosuch"), 400, /Networks\[0\].Target: network nosuch not found/, path);
  await refused(attached("x", {}, "a", a), 400, /Networks\[1\].Target: network \w+ is named twice/, path);
  await refused(attached("x", {}, "a", "host"), 400, /network host cannot be used together/, path);
  const explicit = /Service cannot be explicitly attached to the ingress network "mesh"/;
  await refused(attached("x", {}, mesh), 400, explicit, path);
  const web = published({ TargetPort: 80, PublishedPort: 8080 });
  const { json: { ID } } = await call("POST", path, attached("web", web));
  const taken = new RegExp(`port '8080' is already in use by service 'web' \\(${ID}\\) as an ingress port`);
  await refused(attached("x", web), 400, taken, path);
  const hostMode = published({ TargetPort: 80, PublishedPort: 8080, PublishMode: "host" });
  await refused(attached("x", hostMode), 400, taken, path);
  const udp = published({ TargetPort: 80, PublishedPort: 8080, Protocol: "udp" });
  assert.equal((await call("POST", path, attached("udp", udp))).status, 201);
  const { Version } = store().get("services", ID)!;
  const again = await call("POST", `/services/${ID}/update?version=${Version.Index}`, attached("web", web));
  assert.equal(again.status, 200, "its own port is none of another's");
});

Deno.test("Swarm networks: as long as no node can do them, services that need them are refused with the reason", async () => {
  const { call, create, refused, store } = await meshAPI();
  await create(overlay("a"));
  await create(overlay("mesh", { Ingress: true }));
  await store().update((tx) => {
    const node = tx.all("nodes")[0]!, { OverlayRuntimes: _, ...Description } = node.Description!;
    tx.update("nodes", {
      ...node,
      Description: { ...Description, MissingOverlay: "no VXLAN in this kernel" },
    });
  });
  const path = "/services/create";
  await refused(
    attached("x", {}, "a"),
    400,
    /overlay networks are not available yet: .*no VXLAN in this kernel/,
    path,
  );
  const web = published({ TargetPort: 80 });
  await refused(attached("x", web), 400, /routing mesh \(ingress\) is not available yet: .*, use host/, path);
  assert.equal((await call("POST", path, attached("plain", {}, "host"))).status, 201);
});

Deno.test("Swarm networks: services and tasks show their addresses, and Docker's schema takes them", async () => {
  const { call, create, store } = await meshAPI();
  const a = await create(overlay("a"));
  const { json: { ID } } = await call("POST", "/services/create", attached("web", {}, "a"));
  const VirtualIPs = [{ NetworkID: a, Addr: "10.0.0.2/24" }];
  await store().update((tx) => {
    const service = tx.get("services", ID)!;
    tx.update("services", { ...service, Endpoint: { Spec: { Mode: "vip" }, VirtualIPs } });
    const NetworkAttachments = [{ NetworkID: a, Addresses: ["10.0.0.3/24"], Aliases: ["db"] }];
    tx.create("tasks", testTask(service, "t1", { NetworkAttachments }));
  });
  const service = (await call("GET", `/services/${ID}`)).json;
  assert.deepEqual(responseProblems("GET", "/services/x", 200, service), []);
  assert.deepEqual(service.Endpoint, { Spec: { Mode: "vip" }, VirtualIPs });
  const task = (await call("GET", "/tasks/t1")).json;
  assert.deepEqual(responseProblems("GET", "/tasks/x", 200, task), []);
  const [{ Network, Addresses }] = task.NetworksAttachments;
  assert.deepEqual([Network.ID, Network.Spec.Name, Network.DriverState.Name], [a, "a", "overlay"]);
  assert.deepEqual(Network.IPAMOptions.Configs, [{ Subnet: "10.0.0.0/24", Gateway: "10.0.0.1" }]);
  assert.deepEqual(Addresses, ["10.0.0.3/24"]);
});

Deno.test("Swarm networks: events tell of their making and their removal", async () => {
  const clock = new FakeClock();
  const { call, api } = await testAPI(clock);
  await call("GET", "/networks");
  const { json: { Id } } = await call("POST", "/networks/create", overlay("a"));
  await call("DELETE", "/networks/a");
  const filters = encodeURIComponent('{"type":["network"]}');
  const response = await request(api, `/events?since=1&until=${clock.now() / 1000}&filters=${filters}`);
  const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ Type, Action, Actor, scope }) => [Type, Action, Actor, scope]), [
    ["network", "create", { ID: Id, Attributes: { name: "a" } }, "swarm"],
    ["network", "remove", { ID: Id, Attributes: { name: "a" } }, "swarm"],
  ]);
});

Deno.test("Swarm networks: a port by which nodes reach managers or each other is published by no service on every node", async () => {
  const { call, create, refused, node } = await meshAPI();
  await create(overlay("mesh", { Ingress: true }));
  const path = "/services/create", { address } = node.consensus!.status().members[0]!;
  const port = Number(address.split(":").at(-1));
  const of = (PublishedPort: number, Protocol: string, PublishMode = "ingress") =>
    published({ TargetPort: 80, PublishedPort, Protocol, PublishMode });
  await refused(
    attached("x", of(port, "tcp")),
    400,
    /Ports\[0\].PublishedPort: port '\d+' is that of the manager at/,
    path,
  );
  await refused(
    attached("x", of(4789, "udp")),
    400,
    /port '4789' carries the overlay networks between nodes/,
    path,
  );
  // A plan says what a deployment would be told.
  await refused(attached("x", of(port, "tcp")), 400, /is that of the manager at/, "/services/plan");
  const { json } = await call("POST", path, attached("web", of(port, "udp")));
  assert.ok(json.ID, json.message);
  assert.ok(
    (await call("POST", path, attached("own", of(port, "tcp", "host")))).json.ID,
    "a node's own affair",
  );
  const update = await call(
    "POST",
    `/services/${json.ID}/update?version=2`,
    attached("web", of(port, "tcp")),
  );
  assert.match(update.json.message, /is that of the manager at/);
});

Deno.test("Swarm networks: what of a service does not reach nodes behind address translation is said when it is made", async () => {
  const { call, create, store } = await meshAPI();
  await create(overlay("mesh", { Ingress: true }));
  await create(overlay("far", { Options: { "covey.relay": "on" } }));
  await create(overlay("near"));
  const warnings = async (name: string, over: object, ...targets: string[]) => {
    const { json } = await call("POST", "/services/create", attached(name, over, ...targets));
    assert.ok(json.ID, json.message);
    return json.Warnings ?? [];
  };
  assert.deepEqual(await warnings("before", published({ TargetPort: 80 }), "far", "near"), []);
  await store().update((tx) => {
    const node = tx.all("nodes")[0]!;
    tx.update("nodes", {
      ...node,
      Description: { ...node.Description!, Hostname: "attic", LocalAddr: "192.168.1.5" },
    });
  });
  assert.deepEqual(await warnings("plain", {}), []);
  const who = "nodes behind address translation (attic)";
  const { json: shown } = await call("GET", "/services");
  assert.ok(shown.length > 0);
  assert.deepEqual(await warnings("all", published({ TargetPort: 80 }), "far", "near"), [
    `network far: TCP alone is relayed to and from ${who}, UDP is not`,
    `network near: nothing gets to and from ${who}: make it with the option covey.relay=on`,
    `published ports: tasks on ${who} are reached by those of their own site alone`,
  ]);
});
