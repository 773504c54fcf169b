import assert from "node:assert/strict";
import { parseExact, stringifyExact } from "../../api/exact_json.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { type CreateFlags, specFromFlags, updatedSpec, type UpdateFlags } from "../../cli/service_spec.ts";

const NONE: CreateFlags = {
  mode: "replicated",
  executor: "docker",
  env: [],
  label: [],
  containerLabel: [],
  constraint: [],
  placementPref: [],
  publish: [],
};
const KEEP: UpdateFlags = {
  envAdd: [],
  envRm: [],
  labelAdd: [],
  labelRm: [],
  constraintAdd: [],
  constraintRm: [],
};

Deno.test("service create: an image with arguments becomes a container of one replica", () => {
  const spec = specFromFlags(["busybox:local", "sleep", "9"], {
    ...NONE,
    name: "web",
    env: ["A=1"],
    limitMemory: "64m",
  });
  assert.deepEqual(spec.Mode, { Replicated: { Replicas: 1 } });
  assert.deepEqual(spec.TaskTemplate.ContainerSpec, {
    Image: "busybox:local",
    Args: ["sleep", "9"],
    Env: ["A=1"],
  });
  assert.equal(spec.TaskTemplate.Resources?.Limits?.MemoryBytes, 64 * 1024 ** 2);
  assert.equal(spec.TaskTemplate.Runtime, "container");
});

Deno.test("service create: --executor process makes a program of the words", () => {
  const spec = specFromFlags(["/bin/sleep", "9"], {
    ...NONE,
    mode: "global",
    executor: "process",
    user: "nobody",
    stopGracePeriod: "2s",
  });
  assert.deepEqual(spec.TaskTemplate.ProcessSpec, {
    Command: "/bin/sleep",
    Args: ["9"],
    User: "nobody",
    StopGracePeriod: 2e9,
  });
  assert.equal(spec.TaskTemplate.ContainerSpec, undefined);
  assert.deepEqual(spec.Mode, { Global: {} });
});

Deno.test("service create: --executor deno sends the file with what it may do", () => {
  const flags = { ...NONE, executor: "deno", env: ["A=1"], workdir: "/srv", limitMemory: "128m" };
  const script = new TextEncoder().encode("console.log(1);");
  const allow = { allowNet: "192.0.2.1:80,example.com", allowRead: "*", allowFfi: "/x.so" };
  const spec = specFromFlags(["beat.ts", "a", "--b"], { ...flags, ...allow }, script);
  assert.equal(spec.TaskTemplate.Runtime, "deno");
  assert.deepEqual(spec.TaskTemplate.DenoSpec, {
    Source: "console.log(1);",
    Args: ["a", "--b"],
    Permissions: { Net: ["192.0.2.1:80", "example.com"], Read: true, FFI: ["/x.so"] },
    Env: ["A=1"],
    Dir: "/srv",
  });
  const wasm = specFromFlags(["beat.wasm"], { ...NONE, executor: "deno" }, new Uint8Array([0, 97, 115, 109]));
  assert.deepEqual(wasm.TaskTemplate.DenoSpec, { Wasm: "AGFzbQ==" });
  const updated = updatedSpec(spec, { ...KEEP, args: "c", envAdd: ["B=2"], user: "nobody" });
  const { Args, Env, User, Source } = updated.TaskTemplate.DenoSpec!;
  assert.deepEqual([Args, Env, User, Source], [["c"], ["A=1", "B=2"], "nobody", "console.log(1);"]);
  const next = updatedSpec(spec, { ...KEEP, file: "next.ts" }, new TextEncoder().encode("2"));
  assert.deepEqual(next.TaskTemplate.DenoSpec, { ...spec.TaskTemplate.DenoSpec, Source: "2" });
  const other = specFromFlags(["/bin/true"], { ...NONE, executor: "process" });
  assert.throws(() => updatedSpec(other, { ...KEEP, file: "next.ts" }), /Cannot set --file: .* "process"/);
});

Deno.test("service create: wrong flags are refused by name", () => {
  assert.throws(
    () => specFromFlags(["x"], { ...NONE, executor: "process", allowNet: "a" }),
    /Cannot use --allow-net with --executor process/,
  );
  assert.throws(() => specFromFlags([], NONE), /an image is missing/);
  assert.throws(() => specFromFlags(["x"], { ...NONE, mode: "globl" }), /--mode/);
  assert.throws(
    () => specFromFlags(["x"], { ...NONE, mode: "global", replicas: "3" }),
    /--replicas: the service is global/,
  );
  assert.throws(() => specFromFlags(["x"], { ...NONE, placementPref: ["rack"] }), /--placement-pref/);
  assert.throws(() => specFromFlags(["x"], { ...NONE, publish: ["http"] }), /--publish/);
});

Deno.test("service create: a job runs as often as --replicas says, all at once unless --max-concurrent is given", () => {
  const job = { ...NONE, mode: "replicated-job" };
  const modeOf = (flags: CreateFlags) => specFromFlags(["x"], flags).Mode;
  assert.deepEqual(modeOf(job), { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 1 } });
  assert.deepEqual(modeOf({ ...job, replicas: "5" }), {
    ReplicatedJob: { MaxConcurrent: 5, TotalCompletions: 5 },
  });
  assert.deepEqual(modeOf({ ...job, replicas: "5", maxConcurrent: "2" }), {
    ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 5 },
  });
  assert.deepEqual(modeOf({ ...NONE, mode: "global-job" }), { GlobalJob: {} });
  assert.throws(
    () => modeOf({ ...NONE, mode: "global-job", replicas: "2" }),
    /the service is global-job, one task/,
  );
  assert.throws(
    () => modeOf({ ...NONE, maxConcurrent: "2" }),
    /--max-concurrent: the service is no replicated job/,
  );
});

Deno.test("service update: of a job, --replicas and --max-concurrent leave each other alone", () => {
  const spec = specFromFlags(["x"], { ...NONE, mode: "replicated-job", replicas: "5", maxConcurrent: "2" });
  assert.deepEqual(updatedSpec(spec, { ...KEEP, replicas: "9" }).Mode, {
    ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 9 },
  });
  assert.deepEqual(updatedSpec(spec, { ...KEEP, maxConcurrent: "3" }).Mode, {
    ReplicatedJob: { MaxConcurrent: 3, TotalCompletions: 5 },
  });
});

Deno.test("service create: ports in both spellings", () => {
  const ports = specFromFlags(["x"], {
    ...NONE,
    publish: ["8080:80/udp", "mode=host,published=53,target=5353"],
  }).EndpointSpec?.Ports;
  assert.deepEqual(ports, [
    { Protocol: "udp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" },
    { Protocol: "tcp", TargetPort: 5353, PublishedPort: 53, PublishMode: "host" },
  ]);
});

Deno.test("service update: what is not named stays", () => {
  const before = specFromFlags(["busybox:1", "sleep", "9"], {
    ...NONE,
    name: "web",
    env: ["A=1", "B=2"],
    label: ["x=1"],
    constraint: ["node.role==worker"],
  });
  const after = updatedSpec(before, {
    ...KEEP,
    image: "busybox:2",
    envAdd: ["B=3"],
    envRm: ["A"],
    labelRm: ["x"],
    constraintAdd: ["node.labels.a==b"],
    force: true,
    updateParallelism: "2",
  });
  assert.equal(after.TaskTemplate.ContainerSpec?.Image, "busybox:2");
  assert.deepEqual(after.TaskTemplate.ContainerSpec?.Args, ["sleep", "9"]);
  assert.deepEqual(after.TaskTemplate.ContainerSpec?.Env, ["B=3"]);
  assert.deepEqual(after.Labels, {});
  assert.deepEqual(after.TaskTemplate.Placement?.Constraints, ["node.role==worker", "node.labels.a==b"]);
  assert.equal(after.TaskTemplate.ForceUpdate, 1);
  assert.deepEqual(after.UpdateConfig, { Parallelism: 2 });
  assert.equal(before.TaskTemplate.ContainerSpec?.Image, "busybox:1", "the old spec is untouched");
});

Deno.test("service update: --force counts on from a number that another client took from a clock", () => {
  const forced = (ForceUpdate: string) => {
    const spec = parseExact(`{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"ForceUpdate":${ForceUpdate}}}`);
    return stringifyExact(
      updatedSpec(spec as ServiceSpec, { ...KEEP, force: true }).TaskTemplate.ForceUpdate,
    );
  };
  assert.equal(forced("17958989225995111"), "17958989225995112");
  assert.equal(forced("9007199254740991"), "9007199254740992");
  assert.equal(forced("7"), "8");
});

Deno.test("service update: a process has no image to change", () => {
  const process = specFromFlags(["/bin/true"], { ...NONE, executor: "process" });
  assert.throws(() => updatedSpec(process, { ...KEEP, image: "x" }), /runtime "process"/);
  assert.deepEqual(updatedSpec(process, { ...KEEP, args: "a  b" }).TaskTemplate.ProcessSpec?.Args, [
    "a",
    "b",
  ]);
});
