/**
 * What the API takes in acts. Each field of the requests that Docker describes is given a value by itself, and then it is
 * refused by name, or changes the container that a task becomes, or is read by the file that is named here. A field that is
 * taken and dropped, or stored and never read, fails.
 */
import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import type { DenoSpec } from "../../../api/deno_spec.ts";
import type { ProcessSpec, Service } from "../../../api/service.ts";
import {
  mergeClusterSpec,
  parseClusterSpec,
  parseNodeSpec,
  parseServiceSpec,
} from "../../../api/validate/mod.ts";
import { createBody } from "../../../executors/docker/container_config.ts";
import { newCluster } from "../../../manager/cluster/new_cluster.ts";
import { clusterInfo } from "../../../manager/http/views/swarm_view.ts";
import { newTask } from "../../../manager/task/task.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { seededRandom } from "../../manager/orchestrator/harness.ts";
import { fieldOf, requestFields, sampleOf, withField } from "./request_fields.ts";

type Json = Record<string, unknown>;

const FILE = { Name: "f", UID: "0", GID: "0", Mode: 0o444 };

/** Fields by the beginning of their path, and who reads them: a file, and the word for it there if it is not the field's. */
type Readers = Record<string, [file: string, word?: string]>;

/** Fields that are their user's own notes, or change nothing yet for the reason given. */
type Notes = Record<string, string>;

const PROCESS_SPEC = "executors/process/process_spec.ts";
const UPDATER = "manager/updater/policy.ts";

const SERVICE_READERS: Readers = {
  "TaskTemplate.ContainerSpec.Secrets[].Secret": ["api/dependency.ts"],
  "TaskTemplate.ContainerSpec.Configs[].Config": ["api/dependency.ts"],
  "TaskTemplate.ContainerSpec.Secrets[].File": ["executors/memory_folder.ts"],
  "TaskTemplate.ContainerSpec.Configs[].File": ["executors/memory_folder.ts"],
  "TaskTemplate.ContainerSpec.Secrets[].File.Name": ["executors/docker/container_files.ts"],
  "TaskTemplate.ContainerSpec.Configs[].File.Name": ["executors/docker/container_files.ts"],
  "Name": ["manager/store/indexes.ts"],
  "Labels": ["manager/task/task.ts"],
  "TaskTemplate.Resources.Reservations": ["manager/placement/node_resources.ts"],
  "TaskTemplate.RestartPolicy": ["manager/restart/restart_policy.ts"],
  "TaskTemplate.RestartPolicy.Delay": ["manager/restart/restart_supervisor.ts"],
  "TaskTemplate.Placement.Constraints": ["manager/placement/constraint.ts"],
  "TaskTemplate.Placement.Preferences": ["manager/scheduler/pool.ts"],
  "TaskTemplate.Placement.MaxReplicas": ["manager/scheduler/filters.ts"],
  "TaskTemplate.Placement.Platforms": ["api/platform.ts"],
  "TaskTemplate.ForceUpdate": ["manager/task/task.ts", "deepEqual"],
  "TaskTemplate.Runtime": ["manager/scheduler/filters.ts"],
  "Mode.Replicated.Replicas": ["manager/orchestrator/replicated_orchestrator.ts", "replicas"],
  "Mode.Global": ["manager/orchestrator/service_orchestrator.ts", "modeOf"],
  "Mode.ReplicatedJob": ["manager/orchestrator/jobs/job.ts"],
  "Mode.GlobalJob": ["manager/orchestrator/service_orchestrator.ts", "modeOf"],
  "EndpointSpec.Mode": ["manager/allocator/endpoint.ts"],
  "EndpointSpec.Ports[].PublishMode": ["executors/docker/container_config.ts"],
  "UpdateConfig": [UPDATER],
  "RollbackConfig": [UPDATER],
};
const SERVICE_NOTES: Notes = {
  "TaskTemplate.Networks[].Aliases": "of networks that a swarm makes; Docker drops them of others as well",
  "TaskTemplate.Networks[].DriverOpts": "as aliases",
  "Networks[].Target": "counts as the task template's, where that names none",
  "Networks[].Aliases": "as those of the task template",
  "Networks[].DriverOpts": "as those of the task template",
  "EndpointSpec.Ports[].Name": "the user's name for a port",
  "TaskTemplate.ContainerSpec.Mounts[].Consistency": "of a desktop's file shares; Docker drops it as well",
};

const SWARM_READERS: Readers = {
  "Orchestration.TaskHistoryRetentionLimit": ["manager/cleaner/task_reaper.ts"],
  "Raft": ["manager/server/raft_settings.ts"],
  "Dispatcher.HeartbeatPeriod": ["manager/dispatcher/heartbeat_period.ts"],
  "CAConfig.NodeCertExpiry": ["manager/ca/store_backend.ts"],
  "CAConfig.ForceRotate": ["manager/control/cluster.ts"],
  "CAConfig.SigningCA": ["security/signing_ca.ts"],
  "TaskDefaults.LogDriver": ["manager/task/task.ts", "TaskDefaults.LogDriver"],
  "EncryptionConfig.AutoLockManagers": ["manager/cluster/new_cluster.ts"],
};
const SWARM_NOTES: Notes = { "Labels": "the user's own" };

const NODE_READERS: Readers = {
  "Labels": ["manager/placement/label.ts"],
  "Role": ["manager/roles/role_manager.ts"],
  "Availability": ["manager/scheduler/filters.ts"],
};
const NODE_NOTES: Notes = { "Name": "the user's name for a node" };

/** Values for fields that do not take just any. */
const VALUES: Json = {
  "TaskTemplate.ContainerSpec.Image": "busybox:2",
  "TaskTemplate.ContainerSpec.Env": ["A=b"],
  "TaskTemplate.ContainerSpec.Hosts": ["10.0.0.1 db"],
  "TaskTemplate.ContainerSpec.Privileges.Seccomp.Mode": "unconfined",
  "TaskTemplate.ContainerSpec.Privileges.Seccomp.Profile": "e30=",
  "TaskTemplate.ContainerSpec.Healthcheck.Interval": 2e9,
  "TaskTemplate.ContainerSpec.Healthcheck.Timeout": 2e9,
  "TaskTemplate.ContainerSpec.Healthcheck.StartPeriod": 2e9,
  "TaskTemplate.ContainerSpec.Healthcheck.StartInterval": 2e9,
  "TaskTemplate.ContainerSpec.Mounts[].Type": "npipe",
  "TaskTemplate.ContainerSpec.Secrets[].File.UID": "1",
  "TaskTemplate.ContainerSpec.Secrets[].File.GID": "1",
  "TaskTemplate.ContainerSpec.Configs[].File.UID": "1",
  "TaskTemplate.ContainerSpec.Configs[].File.GID": "1",
  "TaskTemplate.Resources.Limits.NanoCPUs": 1e9,
  "TaskTemplate.Resources.Limits.MemoryBytes": 64e6,
  "TaskTemplate.Resources.Reservations.NanoCPUs": 1e9,
  "TaskTemplate.Resources.Reservations.MemoryBytes": 64e6,
  "TaskTemplate.RestartPolicy.Condition": "none",
  "TaskTemplate.Placement.Constraints": ["node.id==x"],
  "TaskTemplate.Runtime": "mock",
  "EndpointSpec.Mode": "dnsrr",
  "TaskTemplate.Networks[].Target": "none",
  "Networks[].Target": "host",
  "CAConfig.NodeCertExpiry": 4e12,
  "Mode.Global": {},
  "Mode.GlobalJob": {},
};

/** What must stand beside a field for it to be looked at, by the beginning of its path. */
const BESIDE: Record<string, Json> = {
  "TaskTemplate.Runtime": { GenericSpec: { Payload: "x" } },
  "TaskTemplate.ContainerSpec.Privileges.Seccomp.Profile": { Mode: "custom" },
  "TaskTemplate.ContainerSpec.Mounts[].": { Type: "bind", Target: "/t" },
  "TaskTemplate.Resources.Reservations.GenericResources[].NamedResourceSpec.": { Kind: "gpu", Value: "a" },
  "TaskTemplate.Resources.Reservations.GenericResources[].DiscreteResourceSpec.": { Kind: "gpu", Value: 1 },
  "TaskTemplate.ContainerSpec.Secrets[].": { File: FILE, SecretID: "s1", SecretName: "s" },
  "TaskTemplate.ContainerSpec.Configs[].": { File: FILE, ConfigID: "c1", ConfigName: "c" },
  "TaskTemplate.LogDriver.": { Name: "json-file" },
  "TaskTemplate.Networks[].": { Target: "host" },
  "Networks[].": { Target: "host" },
  "EndpointSpec.Ports[].": { TargetPort: 80, PublishMode: "host" },
  "Role": { Availability: "active" },
  "Availability": { Role: "worker" },
  "Name": { Availability: "active", Role: "worker" },
  "Labels": { Availability: "active", Role: "worker" },
};

/** Lays `b` over `a`, first elements of lists included. */
function overlay(a: unknown, b: unknown): unknown {
  const isObject = (value: unknown) => typeof value === "object" && value !== null;
  if (!isObject(a) || !isObject(b)) return b ?? a;
  if (Array.isArray(a) && Array.isArray(b)) return [overlay(a[0], b[0])];
  const keys = new Set([...Object.keys(a as Json), ...Object.keys(b as Json)]);
  return Object.fromEntries([...keys].map((key) => [key, overlay((a as Json)[key], (b as Json)[key])]));
}

function longest<T>(table: Record<string, T>, path: string): T | undefined {
  const prefixes = Object.keys(table).filter((prefix) => path.startsWith(prefix));
  return table[prefixes.sort((a, b) => b.length - a.length)[0] ?? ""];
}

/** `base` with what must stand beside the field at `path`, and with the field if `value` is given. */
function bodyFor(base: Json, path: string, value?: unknown): Json {
  const prefix =
    Object.keys(BESIDE).filter((each) => path.startsWith(each)).sort((a, b) => b.length - a.length)[0];
  let body: unknown = base;
  if (prefix !== undefined) {
    const group = prefix.endsWith(".") ? prefix.slice(0, -1) : prefix.split(".").slice(0, -1).join(".");
    for (const [name, beside] of Object.entries(BESIDE[prefix]!)) {
      body = overlay(body, withField(group === "" ? name : `${group}.${name}`, beside));
    }
  }
  return (value === undefined ? body : overlay(body, withField(path, value))) as Json;
}

function containerOf(body: Json): unknown {
  const Spec = parseServiceSpec(body);
  const meta = { ID: "s", Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
  const service: Service = { ...meta, Spec, SpecVersion: { Index: 0 } };
  const task = newTask(service, { slot: 1 }, undefined, new FakeClock(), seededRandom());
  return createBody({ ...task, NodeID: "n" }, "n");
}

function differs(path: string, base: Json, value: unknown): boolean {
  const [without, as] = [bodyFor(base, path), bodyFor(base, path, value)].map((body) =>
    JSON.stringify(containerOf(body))
  );
  return without !== as;
}

async function isRead(path: string, [file, word]: [string, string?]): Promise<boolean> {
  const source = await Deno.readTextFile(new URL(`../../../${file}`, import.meta.url));
  const name = word ?? path.split(".").at(-1)!.replace("[]", "");
  return new RegExp(`\\b${RegExp.escape(name)}\\b`).test(source);
}

/** The fields of `definition` that neither act nor are refused by name, and what is wrong with each. */
async function idleFields(
  definition: string,
  parse: (body: Json) => unknown,
  base: Json,
  tables: { readers: Readers; notes: Notes; acts?: (path: string, value: unknown) => boolean },
): Promise<string[]> {
  const idle: string[] = [];
  for (const { path, schema } of requestFields(definition)) {
    const value = VALUES[path] ?? sampleOf(schema);
    let stored: unknown;
    try {
      stored = parse(bodyFor(base, path, value));
    } catch (error) {
      assert.ok(error instanceof CoveyError, `${path}: ${error}`);
      const named = error.problems.some(({ field, message }) =>
        path.startsWith(field.replaceAll("[0]", "[]")) &&
        /not (available|supported)|must be named/.test(message)
      );
      if (!named) idle.push(`${path}: ${error.message}`);
      continue;
    }
    if (tables.notes[path] !== undefined) continue;
    if (fieldOf(stored, path) === undefined) idle.push(`${path}: taken and dropped`);
    else if (tables.acts?.(path, value)) continue;
    else {
      const reader = longest(tables.readers, path);
      if (reader === undefined || !await isRead(path, reader)) idle.push(`${path}: stored and not read`);
    }
  }
  return idle;
}

Deno.test("Requests: each field of a service spec acts, or is refused by name", async () => {
  const base = { Name: "web", TaskTemplate: { ContainerSpec: { Image: "busybox:1" } } };
  const idle = await idleFields("ServiceSpec", parseServiceSpec, base, {
    readers: SERVICE_READERS,
    notes: SERVICE_NOTES,
    acts: (path, value) => path !== "TaskTemplate.Runtime" && differs(path, base, value),
  });
  assert.deepEqual(idle, []);
});

Deno.test("Requests: each field of a swarm spec acts, or is refused by name", async () => {
  const tables = { readers: SWARM_READERS, notes: SWARM_NOTES };
  assert.deepEqual(await idleFields("SwarmSpec", parseClusterSpec, {}, tables), []);
});

Deno.test("Requests: each field of a node spec acts, or is refused by name", async () => {
  const tables = { readers: NODE_READERS, notes: NODE_NOTES };
  assert.deepEqual(await idleFields("NodeSpec", parseNodeSpec, {}, tables), []);
});

Deno.test("Requests: each field of a process spec is read by its executor; a log driver is refused by name", async () => {
  const ProcessSpec: Required<ProcessSpec> = {
    ReadOnly: true,
    PrivateTmp: true,
    Devices: ["/dev/gpiochip0"],
    Artifacts: [{
      Name: "x",
      Platform: { OS: "linux", Architecture: "arm64" },
      URL: "https://files.example.com/x",
      SHA256: "a".repeat(64),
      Mode: 0o555,
    }],
    Command: "run",
    Args: ["x"],
    Env: ["A=b"],
    Dir: "/tmp",
    User: "nobody",
    StopSignal: "SIGINT",
    StopGracePeriod: 7e9,
    Secrets: [{ File: FILE, SecretID: "s1", SecretName: "s" }],
    Configs: [{ File: FILE, ConfigID: "c1", ConfigName: "c", Env: "C" }],
  };
  const TaskTemplate = { Runtime: "process", ProcessSpec };
  assert.deepEqual(parseServiceSpec({ Name: "web", TaskTemplate }).TaskTemplate.ProcessSpec, ProcessSpec);
  for (const name of Object.keys(ProcessSpec)) {
    const isReference = name === "Secrets" || name === "Configs";
    // How long a stop may take is asked by the manager too.
    const reader = isReference
      ? "api/dependency.ts"
      : name === "StopGracePeriod"
      ? "api/service.ts"
      : PROCESS_SPEC;
    assert.ok(await isRead(name, [reader]), name);
  }
  const logged = { Name: "web", TaskTemplate: { ...TaskTemplate, LogDriver: { Name: "journald" } } };
  assert.throws(() => parseServiceSpec(logged), /TaskTemplate.LogDriver: log drivers are not available/);
});

Deno.test("Requests: each field of a deno spec is read by its executor; a log driver is refused by name", async () => {
  const DenoSpec: Required<DenoSpec> = {
    Source: "1",
    Wasm: "AGFzbQ==",
    Module: "/x.ts",
    Artifacts: [{ Name: "x", URL: "https://files.example.com/x", SHA256: "a".repeat(64) }],
    Args: ["x"],
    Env: ["A=b"],
    Dir: "/tmp",
    User: "nobody",
    Permissions: {
      Net: ["192.0.2.1:80"],
      Read: ["."],
      Write: ["/srv/x"],
      Env: true,
      Run: ["/bin/true"],
      Sys: ["uid"],
      FFI: ["/x.so"],
    },
    StopSignal: "SIGINT",
    StopGracePeriod: 7e9,
  };
  const stored = (spec: DenoSpec) =>
    parseServiceSpec({ Name: "web", TaskTemplate: { Runtime: "deno", DenoSpec: spec } }).TaskTemplate
      .DenoSpec;
  for (const runs of ["Source", "Wasm", "Module"] as const) {
    const { Source: _source, Wasm: _wasm, Module: _module, ...rest } = DenoSpec;
    const spec = { ...rest, [runs]: DenoSpec[runs] };
    assert.deepEqual(stored(spec), spec);
  }
  const readers = ["executors/deno/deno_spec.ts", "executors/process/process_spec.ts", "api/deno_spec.ts"];
  for (const name of [...Object.keys(DenoSpec), ...Object.keys(DenoSpec.Permissions)]) {
    assert.ok((await Promise.all(readers.map((file) => isRead(name, [file])))).includes(true), name);
  }
  const TaskTemplate = { Runtime: "deno", DenoSpec: { Source: "1" }, LogDriver: { Name: "journald" } };
  assert.throws(
    () => parseServiceSpec({ Name: "web", TaskTemplate }),
    /TaskTemplate.LogDriver: log drivers are not available/,
  );
});

Deno.test("Requests: what is shown can be sent back whole, and changes nothing", async () => {
  const cluster = await newCluster("c1", {}, { clock: new FakeClock(), random: seededRandom() });
  const shown = clusterInfo(cluster).Spec as Json;
  assert.deepEqual(mergeClusterSpec(cluster.Spec, parseClusterSpec(shown)), cluster.Spec);
  // As clients send it that know of the fields and leave them at their zeros.
  const zeros = overlay(shown, {
    Raft: { KeepOldSnapshots: 0 },
    CAConfig: { ForceRotate: 0, SigningCACert: "", SigningCAKey: "", ExternalCAs: [] },
  }) as Json;
  assert.deepEqual(mergeClusterSpec(cluster.Spec, parseClusterSpec(zeros)), cluster.Spec);
});
