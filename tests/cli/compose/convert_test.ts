import assert from "node:assert/strict";
import { serviceOf, stackOf } from "./compose.ts";

Deno.test("Compose: a service without networks is in one of the stack's, known there by its name", async () => {
  const { networks, services } = await stackOf("services: {web: {image: busybox}}");
  const label = { "com.docker.stack.namespace": "demo" };
  assert.deepEqual(networks, [{ Name: "demo_default", Driver: "overlay", Labels: label }]);
  const { Name, Labels, TaskTemplate, Mode } = services[0]!.spec;
  assert.equal(Name, "demo_web");
  assert.deepEqual(Labels, { ...label, "com.docker.stack.image": "busybox" });
  assert.deepEqual(TaskTemplate.ContainerSpec, { Image: "busybox", Labels: label });
  assert.deepEqual(TaskTemplate.Networks, [{ Target: "demo_default", Aliases: ["web"] }]);
  assert.deepEqual(Mode, { Replicated: { Replicas: 1 } });
});

Deno.test("Compose: ports in both forms, ranges and protocols", async () => {
  const { spec } = await serviceOf(`ports:
- "8080:80"
- "53:53/udp"
- "9000-9001:90-91"
- "70"
- {target: 443, published: 8443, mode: host}`);
  const ports = spec.EndpointSpec!.Ports!.map(({ PublishedPort, TargetPort, Protocol, PublishMode }) =>
    `${PublishedPort ?? ""}:${TargetPort}/${Protocol} ${PublishMode}`
  );
  assert.deepEqual(ports, [
    ":70/tcp ingress",
    "53:53/udp ingress",
    "8080:80/tcp ingress",
    "8443:443/tcp host",
    "9000:90/tcp ingress",
    "9001:91/tcp ingress",
  ]);
});

Deno.test("Compose: volumes in both forms, named ones with their driver, relative paths from the file's folder", async () => {
  const { spec } = await serviceOf(
    `volumes:
- data:/srv:nocopy
- ./conf:/etc/conf:ro
- ../up:/up
- /var/lib/docker/:/docker:ro
- /cache
- old:/old
- {type: tmpfs, target: /run, tmpfs: {size: 1m, mode: 01777}}
- {type: volume, source: old, target: /part, volume: {subpath: a/b}}
- {type: image, source: "model:1", target: /model, image: {subpath: weights}}
tmpfs: "/t:size=2m"`,
    {},
    "volumes: {data: {driver: nfs, driver_opts: {a: b}}, old: {external: true, name: elsewhere}}",
  );
  assert.deepEqual(spec.TaskTemplate.ContainerSpec!.Mounts, [
    {
      Type: "volume",
      Source: "demo_data",
      Target: "/srv",
      VolumeOptions: {
        NoCopy: true,
        Labels: { "com.docker.stack.namespace": "demo" },
        DriverConfig: { Name: "nfs", Options: { a: "b" } },
      },
    },
    { Type: "bind", Source: "/app/conf", Target: "/etc/conf", ReadOnly: true },
    { Type: "bind", Source: "/up", Target: "/up" },
    // As it is written, as Docker's client has it: another spelling would be another version of the service.
    { Type: "bind", Source: "/var/lib/docker/", Target: "/docker", ReadOnly: true },
    { Type: "volume", Target: "/cache" },
    { Type: "volume", Source: "elsewhere", Target: "/old" },
    { Type: "tmpfs", Target: "/run", TmpfsOptions: { SizeBytes: 1024 ** 2, Mode: 0o1777 } },
    { Type: "volume", Source: "elsewhere", Target: "/part", VolumeOptions: { Subpath: "a/b" } },
    { Type: "image", Source: "model:1", Target: "/model", ImageOptions: { Subpath: "weights" } },
    { Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 2 * 1024 ** 2 } },
  ]);
});

Deno.test("Compose: environment is that of env_file, overridden, and a name alone takes the deployer's value", async () => {
  const { spec } = await serviceOf(
    `env_file: [vars.env]
environment: [B=2, HOME, NOWHERE]`,
    { files: { "/app/vars.env": "# comment\nexport A='x y'\nB=1\nC=3 # note\n\n" }, env: { HOME: "/root" } },
  );
  assert.deepEqual(spec.TaskTemplate.ContainerSpec!.Env, ["A=x y", "B=2", "C=3", "HOME=/root"]);
});

Deno.test("Compose: secrets and configs are referenced by their names in the cluster", async () => {
  const { services, secrets, configs, external } = await stackOf(`
services:
  web:
    image: busybox
    secrets: [key, {source: other, target: /o, mode: 0440, uid: "5"}]
    configs: [conf]
secrets: {key: {file: ./k.txt}, other: {external: true}}
configs: {conf: {name: conf-v2, content: "a=1"}}
`);
  const [{ secrets: asked, configs: settings } = assert.fail()] = services;
  assert.deepEqual(asked, [
    { name: "demo_key", File: { Name: "key", UID: "0", GID: "0", Mode: 0o444 } },
    { name: "other", File: { Name: "/o", UID: "5", GID: "0", Mode: 0o440 } },
  ]);
  assert.deepEqual(settings.map(({ name }) => name), ["conf-v2"]);
  assert.deepEqual(secrets.map(({ Name, from }) => [Name, from]), [["demo_key", { file: "/app/k.txt" }]]);
  assert.deepEqual(configs.map(({ Name, from }) => [Name, from]), [["conf-v2", { content: "a=1" }]]);
  assert.deepEqual(external, { networks: [], secrets: ["other"], configs: [] });
});

Deno.test("Compose: x-covey makes a service a process of the device", async () => {
  const { services, networks } = await stackOf(`
services:
  meter:
    x-covey: {executor: process}
    command: ["/usr/bin/meter", "-v"]
    user: nobody
    deploy: {mode: global}
`);
  const { TaskTemplate, Mode } = services[0]!.spec;
  assert.deepEqual(TaskTemplate, {
    Runtime: "process",
    ProcessSpec: { Command: "/usr/bin/meter", Args: ["-v"], User: "nobody" },
    ForceUpdate: 0,
  });
  assert.deepEqual(Mode, { Global: {} });
  assert.deepEqual(networks, [], "it is in the network of its device");
  const attached = await stackOf(`
services:
  meter: {x-covey: {executor: process}, command: [/usr/bin/meter], networks: [back]}
networks: {back: {}}
`);
  assert.deepEqual(attached.services[0]!.spec.TaskTemplate.Networks, [
    { Target: "demo_back", Aliases: ["meter"] },
  ]);
});

Deno.test("Compose: restart is read as deploy.restart_policy, which counts where both stand", async () => {
  const policy = async (lines: string) => (await serviceOf(lines)).spec.TaskTemplate.RestartPolicy;
  assert.deepEqual(await policy("restart: unless-stopped"), { Condition: "any" });
  assert.deepEqual(await policy("restart: on-failure:3"), { Condition: "on-failure", MaxAttempts: 3 });
  assert.equal(await policy(`restart: "no"`), undefined);
  assert.deepEqual(await policy("restart: always\ndeploy: {restart_policy: {condition: none}}"), {
    Condition: "none",
  });
});
