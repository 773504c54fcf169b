import assert from "node:assert/strict";
import type { ContainerSpec, Mount } from "../../../api/container_spec.ts";
import { checkContainerTask, createBody } from "../../../executors/docker/container_config.ts";
import { newerNeed } from "../../../executors/docker/newer_need.ts";
import { isOfOneRegistry, isPinned, withDefaultTag } from "../../../executors/docker/image_ref.ts";
import { containerTask } from "../../conformance/docker_fixture.ts";

Deno.test("Container: a plain task becomes a plain container with SwarmKit's labels", () => {
  const task = containerTask({
    Image: "busybox",
    Labels: { mine: "1", "com.docker.swarm.task.id": "forged" },
  });
  const body = createBody(task, task.NodeID);
  assert.deepEqual(body, {
    Image: "busybox:latest",
    Env: [],
    Labels: {
      mine: "1",
      "com.docker.swarm.task": "",
      "com.docker.swarm.task.id": task.ID,
      "com.docker.swarm.task.name": `covey-test.1.${task.ID}`,
      "com.docker.swarm.node.id": task.NodeID,
      "com.docker.swarm.service.id": task.ServiceID,
      "com.docker.swarm.service.name": "covey-test",
    },
    ExposedPorts: {},
    HostConfig: { PortBindings: {}, RestartPolicy: { Name: "no" } },
  });
});

Deno.test("Container: a command replaces the entry point and arguments follow it", () => {
  const body = createBody(containerTask({ Command: ["sh", "-c"], Args: ["ls"] }), "node");
  assert.deepEqual([body.Entrypoint, body.Cmd], [["sh", "-c"], ["ls"]]);
  const argumentsOnly = createBody(containerTask({ Args: ["ls"] }), "node");
  assert.deepEqual([argumentsOnly.Entrypoint, argumentsOnly.Cmd], [undefined, ["ls"]]);
});

Deno.test("Container: limits, ports, hosts and privileges arrive in the engine's terms", () => {
  const task = containerTask({
    Hosts: ["10.0.0.1 db primary"],
    Mounts: [{ Type: "tmpfs", Target: "/tmp", TmpfsOptions: { SizeBytes: 1024 } }],
    Privileges: { NoNewPrivileges: true, Seccomp: { Mode: "unconfined" }, SELinuxContext: { Type: "t" } },
    StopGracePeriod: 1_500_000_000,
    Init: null,
  });
  task.Spec.Resources = {
    Limits: { NanoCPUs: 250_000_000, MemoryBytes: 64e6, Pids: 20 },
    Reservations: { MemoryBytes: 32e6 },
  };
  task.Spec.LogDriver = { Name: "json-file", Options: { "max-size": "1m" } };
  task.AssignedGenericResources = [
    { NamedResourceSpec: { Kind: "gpu", Value: "a" } },
    { NamedResourceSpec: { Kind: "gpu", Value: "b" } },
    { NamedResourceSpec: { Kind: "dev", Value: "/dev/video0" } },
  ];
  task.Ports = [
    { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" },
    { Protocol: "udp", TargetPort: 53, PublishMode: "host" },
    { Protocol: "tcp", TargetPort: 81, PublishedPort: 81, PublishMode: "ingress" },
  ];
  task.LogDriver = { Name: "journald" };
  const Devices = [{
    PathOnHost: "/dev/video0",
    PathInContainer: "/dev/video0",
    CgroupPermissions: "rwm",
  }];
  const body = createBody(task, "node", undefined, undefined, { Devices, Privileged: true });
  assert.deepEqual(body.Env, ["DOCKER_RESOURCE_GPU=a,b", "DOCKER_RESOURCE_DEV=/dev/video0"]);
  assert.equal(body.StopTimeout, 2);
  assert.deepEqual(body.ExposedPorts, { "80/tcp": {}, "53/udp": {} });
  assert.deepEqual(body.HostConfig, {
    Memory: 64e6,
    MemoryReservation: 32e6,
    CpuPeriod: 100_000,
    CpuQuota: 25_000,
    PidsLimit: 20,
    Devices,
    Privileged: true,
    PortBindings: { "80/tcp": [{ HostPort: "8080" }], "53/udp": [{ HostPort: "" }] },
    Mounts: [{ Type: "tmpfs", Target: "/tmp", TmpfsOptions: { SizeBytes: 1024 } }],
    ExtraHosts: ["db:10.0.0.1", "primary:10.0.0.1"],
    SecurityOpt: ["label=type:t", "seccomp=unconfined", "no-new-privileges"],
    LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
    RestartPolicy: { Name: "no" },
  });
});

Deno.test("Container: begins in the engine's network that the task names, which knows no aliases", () => {
  for (const Target of ["host", "none", "bridge"]) {
    const task = containerTask({});
    task.Spec.Networks = [{ Target, Aliases: ["a"], DriverOpts: { mtu: "1400" } }];
    const body = createBody(task, "node");
    assert.equal((body.HostConfig as { NetworkMode: string }).NetworkMode, Target);
    assert.equal(body.NetworkingConfig, undefined);
  }
});

Deno.test("Container: in networks TCP counts by the host's clock, unless the service says otherwise", () => {
  const networks = { mode: "bridge", others: [], nameservers: [] };
  const sysctls = (spec: Partial<ContainerSpec>, ...more: [typeof networks?]) => {
    const { HostConfig } = createBody(containerTask(spec), "node", undefined, ...more);
    return (HostConfig as Record<string, unknown>).Sysctls;
  };
  const own = { "net.core.somaxconn": "9", "net.ipv4.tcp_timestamps": "0" };
  assert.deepEqual(sysctls({}, networks), { "net.ipv4.tcp_timestamps": "2" });
  assert.deepEqual(sysctls({ Sysctls: own }, networks), own);
  assert.equal(sysctls({}), undefined, "a container of no network is the engine's own");
});

Deno.test("Container: what the executor cannot do is refused, not left out", () => {
  assert.throws(() => checkContainerTask(containerTask({ Image: "a b" })), {
    code: "invalid_argument",
    problems: [
      { field: "ContainerSpec.Image", message: "invalid reference format: a b" },
    ],
  });
});

Deno.test("Container: image references get a default tag only where they name no version", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  assert.equal(withDefaultTag("registry:5000/app"), "registry:5000/app:latest");
  assert.equal(withDefaultTag("registry:5000/app:2"), "registry:5000/app:2");
  assert.equal(withDefaultTag(`app@${digest}`), `app@${digest}`);
  assert.ok(isPinned(`app:1@${digest}`) && !isPinned("app:1"));
});

Deno.test("Container: the cluster's log driver serves a task whose spec names none", () => {
  const task = containerTask({});
  task.LogDriver = { Name: "journald", Options: { tag: "x" } };
  const { LogConfig } = createBody(task, "node").HostConfig as Record<string, unknown>;
  assert.deepEqual(LogConfig, { Type: "journald", Config: { tag: "x" } });
});

Deno.test("Container: an engine is asked in the version that knows all of the spec", () => {
  const bind = (BindOptions: Mount["BindOptions"] & object) => ({
    Image: "x",
    Mounts: [{ Type: "bind" as const, Source: "/a", Target: "/b", BindOptions }],
  });
  const version = (spec: ContainerSpec) => newerNeed(spec)?.version;
  assert.equal(version({ Image: "x", Healthcheck: { Interval: 1e9 } }), undefined);
  assert.equal(version(bind({ NonRecursive: true })), undefined);
  assert.equal(version(bind({ CreateMountpoint: true })), "v1.42");
  assert.equal(version(bind({ CreateMountpoint: true, ReadOnlyNonRecursive: true })), "v1.44");
  const checked = { Image: "x", Healthcheck: { StartInterval: 1e9 } };
  assert.equal(version(checked), "v1.44");
  const volume: Mount = { Type: "volume", Source: "v", Target: "/v", VolumeOptions: { Subpath: "s" } };
  assert.equal(version({ ...checked, Mounts: [volume] }), "v1.45");
  const image: Mount = { Type: "image", Source: "i", Target: "/i" };
  assert.equal(version({ ...checked, Mounts: [volume, image] }), "v1.48");
  const body = createBody(containerTask({ Mounts: [volume, image] }), "node");
  assert.deepEqual((body.HostConfig as { Mounts: Mount[] }).Mounts, [volume, image]);
});

Deno.test("Container: credentials of an image are for images of the same registry", () => {
  assert.ok(isOfOneRegistry("busybox", "library/alpine:3"));
  assert.ok(isOfOneRegistry("a.example/x", "a.example/y/z:1"));
  assert.ok(isOfOneRegistry("localhost:5000/x", "localhost:5000/y"));
  for (const other of ["x", "a.example:5000/x", "b.example/x", "localhost/a.example/x"]) {
    assert.ok(!isOfOneRegistry("a.example/x", other), other);
  }
});
