import assert from "node:assert/strict";
import { publishedPorts } from "../../../executors/docker/published_ports.ts";
import type { ContainerInspect } from "../../../executors/docker/engine_types.ts";

const portsOf = (Ports: unknown) =>
  publishedPorts({ NetworkSettings: { Ports } } as unknown as ContainerInspect)
    .map(({ Protocol, TargetPort, PublishedPort, PublishMode }) =>
      `${PublishedPort}->${TargetPort}/${Protocol} ${PublishMode}`
    );

Deno.test("Docker: a port bound for both kinds of addresses is one, exposed ones are none", () => {
  const both = (HostPort: string) => [{ HostIp: "0.0.0.0", HostPort }, { HostIp: "::", HostPort }];
  assert.deepEqual(portsOf({ "81/udp": both("18999"), "80/tcp": both("32768"), "90/tcp": null }), [
    "32768->80/tcp host",
    "18999->81/udp host",
  ]);
  assert.deepEqual([portsOf(null), portsOf({}), portsOf({ "80/tcp": [{ HostPort: "" }] })], [[], [], []]);
  const many = Array.from({ length: 2000 }, (_, i) => ({ HostPort: String(i + 1) }));
  assert.equal(portsOf({ "80/tcp": many }).length, 256);
});
