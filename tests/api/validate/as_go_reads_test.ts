import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../../api/errors.ts";
import { parseExact } from "../../../api/exact_json.ts";
import { parseClusterSpec, parseNodeSpec, parseServiceSpec } from "../../../api/validate/mod.ts";

const parse = (json: string) => parseServiceSpec(parseExact(json));

/** Every key of `value` in another case. */
function recased(value: unknown, change: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((each) => recased(each, change));
  if (typeof value !== "object" || value === null) return value;
  const free = new Set(["Labels", "Options", "Sysctls"]);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [change(key), free.has(key) ? each : recased(each, change)]),
  );
}

const FULL = {
  Name: "web",
  Labels: { Tier: "Front" },
  TaskTemplate: {
    ContainerSpec: {
      Image: "busybox",
      Env: ["A=b"],
      Mounts: [{
        Type: "volume",
        Source: "data",
        Target: "/data",
        VolumeOptions: { DriverConfig: { Name: "local", Options: { Type: "nfs" } } },
      }],
      Healthcheck: { Test: ["CMD", "true"], Interval: 1_000_000_000 },
      DNSConfig: { Nameservers: ["192.0.2.1"] },
      Sysctls: { "Net.core": "1" },
    },
    Resources: { Limits: { NanoCPUs: 1_000_000_000 } },
    RestartPolicy: { Condition: "any", MaxAttempts: 3 },
    Placement: { Preferences: [{ Spread: { SpreadDescriptor: "node.labels.zone" } }] },
    ForceUpdate: 3,
    Runtime: "container",
  },
  Mode: { Global: {} },
  UpdateConfig: {
    Parallelism: 2,
    FailureAction: "continue",
    MaxFailureRatio: 0.5,
    Order: "start-first",
  },
  EndpointSpec: { Mode: "vip", Ports: [{ Protocol: "tcp", TargetPort: 80, PublishMode: "host" }] },
};

Deno.test("Specs: keys mean the same in any case, at every depth", () => {
  assert.deepEqual(parseServiceSpec(FULL), FULL);
  const change = fc.func(fc.constantFrom("lower", "upper", "own")).map((choose) => (key: string) => {
    const way = choose(key);
    return way === "lower" ? key.toLowerCase() : way === "upper" ? key.toUpperCase() : key;
  });
  fc.assert(fc.property(change, (way) => {
    assert.deepEqual(parseServiceSpec(recased(FULL, way)), FULL);
  }));
  assert.deepEqual(parseNodeSpec({ role: "manager", AVAILABILITY: "drain" }), {
    Name: "",
    Labels: {},
    Role: "manager",
    Availability: "drain",
  });
  assert.deepEqual(parseClusterSpec({ raft: { electionTick: 20 } }), { Raft: { ElectionTick: 20 } });
});

Deno.test("Specs: of repeated keys the last counts, objects are laid over each other, null says nothing", () => {
  const task = '"TaskTemplate":{"ContainerSpec":{"Image":"a"},"containerspec":{"image":"b","Dir":"/"}}';
  const spec = parse(
    `{"Name":"x","name":"web","NAME":null,${task},"Labels":{"a":null},"mode":{"global":{}}}`,
  );
  assert.equal(spec.Name, "web");
  assert.deepEqual(spec.Labels, { a: "" });
  assert.deepEqual(spec.TaskTemplate.ContainerSpec, { Image: "b", Dir: "/" });
  assert.deepEqual(spec.Mode, { Global: {} });
});

Deno.test("Specs: null, missing and empty are the same", () => {
  const bare = parse('{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"a"}}}');
  const nulls = Object.keys(FULL).filter((key) => key !== "Name" && key !== "TaskTemplate")
    .map((key) => `"${key}":null`).join();
  const inner = Object.keys(FULL.TaskTemplate.ContainerSpec).filter((key) => key !== "Image")
    .map((key) => `"${key}":null`).join();
  assert.deepEqual(
    parse(`{"Name":"web",${nulls},"TaskTemplate":{"ContainerSpec":{"Image":"a",${inner}},"Placement":null}}`),
    bare,
  );
  const words = parse(
    '{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"a","Command":[null,"x"]},"Placement":{"Preferences":[null,{}]}}}',
  );
  assert.deepEqual(words.TaskTemplate.ContainerSpec!.Command, ["", "x"]);
  assert.deepEqual(words.TaskTemplate.Placement, {});
});

Deno.test("Specs: words are folded where Docker folds them, and nowhere else", () => {
  const spec = parse(
    '{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"a","Mounts":[{"Type":"BIND","Source":"/a","Target":"/b",' +
      '"BindOptions":{"Propagation":"RShared"}}]}},"EndpointSpec":{"Ports":[{"TargetPort":1,"Protocol":"UDP","PublishMode":"Host"}]}}',
  );
  const [mount] = spec.TaskTemplate.ContainerSpec!.Mounts!;
  assert.deepEqual([mount!.Type, mount!.BindOptions!.Propagation], ["bind", "rshared"]);
  assert.deepEqual(spec.EndpointSpec!.Ports, [{ Protocol: "udp", TargetPort: 1, PublishMode: "host" }]);
  assert.equal(parseNodeSpec({ Role: "Manager", Availability: "DRAIN" }).Role, "manager");
  const words = {
    "TaskTemplate.RestartPolicy.Condition": { TaskTemplate: { RestartPolicy: { Condition: "Any" } } },
    "EndpointSpec.Mode": { EndpointSpec: { Mode: "VIP" } },
    "UpdateConfig.FailureAction": { UpdateConfig: { FailureAction: "Pause" } },
    "UpdateConfig.Order": { UpdateConfig: { Order: "Stop-First" } },
  };
  for (const [field, over] of Object.entries(words)) assert.ok(problemFields(over).includes(field), field);
});

/** Fields that are wrong in a spec made of `over`. */
function problemFields(over: unknown): string[] {
  try {
    parseServiceSpec(over);
  } catch (error) {
    assert.ok(error instanceof CoveyError);
    return error.problems.map(({ field, message }) =>
      message.includes("exactly") ? `${field}: ${message}` : field
    );
  }
  return [];
}

Deno.test("Specs: long durations are kept exactly, and what cannot be is refused by name", () => {
  const year = parseClusterSpec(parseExact('{"CAConfig":{"NodeCertExpiry":31536000000000000}}'));
  assert.equal(String(year.CAConfig!.NodeCertExpiry), "31536000000000000");
  assert.ok(
    problemFields(parseExact('{"TaskTemplate":{"RestartPolicy":{"MaxAttempts":9007199254740993}}}')).includes(
      "TaskTemplate.RestartPolicy.MaxAttempts: cannot be kept exactly: current value is 9007199254740993",
    ),
  );
  const payload = '{"TaskTemplate":{"Runtime":"wasm","GenericSpec":{"Payload":{"a":[9007199254740993]}}}}';
  assert.ok(
    problemFields(parseExact(payload)).includes(
      "TaskTemplate.GenericSpec.Payload: cannot be kept exactly: it holds 9007199254740993",
    ),
  );
});
