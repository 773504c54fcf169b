import assert from "node:assert/strict";
import { serviceOf, stackOf } from "./compose.ts";

Deno.test("Compose: every problem is told at once, each with its line", async () => {
  const text = `services:
  web:
    imge: busybox
    ports: ["80:x"]
    deploy:
      replicas: many
      resources: {limits: {memory: lots}}
  other:
    image: busybox
    secrets: [nowhere]
    networks: [nowhere]
    volumes: ["nowhere:/x"]
netwroks: {}
`;
  await assert.rejects(stackOf(text), ({ message }: Error) => {
    for (
      const line of [
        "/app/compose.yml:3: services.web.imge: is no key that is known here",
        '/app/compose.yml:4: services.web.ports[0]: want HOST:PORT or PORT, each a number or a range, not "80:x"',
        '/app/compose.yml:6: services.web.deploy.replicas: want a whole number, not "many"',
        '/app/compose.yml:7: services.web.deploy.resources.limits.memory: want a size such as 64m or 1g, not "lots"',
        '/app/compose.yml:10: services.other.secrets[0]: secret "nowhere" is not defined under secrets',
        "/app/compose.yml:11: services.other.networks: network nowhere is not defined under networks",
        "/app/compose.yml:12: services.other.volumes[0]: volume nowhere is not defined under volumes",
        "/app/compose.yml:13: netwroks: is no key that is known here",
      ]
    ) assert.ok(message.includes(line), `${line}\n--- is not in\n${message}`);
    return true;
  });
});

Deno.test("Compose: what a swarm has no use for is refused with what to write instead, or left out where asked", async () => {
  const lines = "depends_on: [db]\nmem_limit: 64m";
  await assert.rejects(serviceOf(lines), /services\.web\.mem_limit: .*use deploy\.resources\.limits\.memory/);
  const { spec } = await serviceOf(lines, { ignoreUnsupported: true });
  assert.equal(spec.TaskTemplate.Resources, undefined);
});

Deno.test("Compose: what is no YAML, and a key that stands twice, are told of with their line", async () => {
  await assert.rejects(stackOf("services:\n  web: [\n"), /compose\.yml:\d/);
  await assert.rejects(
    stackOf("services:\n  web: {image: a}\n  web: {image: b}\n"),
    /compose\.yml:3: .*unique/i,
  );
  await assert.rejects(stackOf("[]"), /want a mapping/);
  await assert.rejects(stackOf("services: {}"), /want at least one service/);
});

Deno.test("Compose: anchors that name each other a million times over are refused before they are unfolded", async () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++) lines.push(`a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`).join(", ")}]`);
  await assert.rejects(stackOf(`x-all:\n  ${lines.join("\n  ")}\nservices: {web: {image: a}}`), /aliases/);
});

Deno.test("Compose: x- blocks and << are for whoever writes the file", async () => {
  const { services } = await stackOf(`
x-common: &common
  image: busybox
  environment: {A: "1"}
x-more: &more {image: other, user: nobody}
services:
  web:
    <<: [*common, *more]
    x-note: whatever
`);
  const { Image, User, Env } = services[0]!.spec.TaskTemplate.ContainerSpec!;
  assert.deepEqual([Image, User, Env], ["busybox", "nobody", ["A=1"]]);
});
