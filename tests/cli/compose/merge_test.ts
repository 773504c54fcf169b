import assert from "node:assert/strict";
import { stackOf } from "./compose.ts";

const BASE = `
services:
  web:
    image: busybox:1
    command: ["a", "b"]
    environment: {A: "1", B: "1"}
    ports: ["80:80"]
    volumes: ["/one:/x", "/two:/y"]
    labels: [l=1]
`;

Deno.test("Compose files: a later one adds and overrides, lists of pairs by name, volumes by target, commands as a whole", async () => {
  const { services } = await stackOf(BASE, {
    files: {
      "/app/more.yml": `
services:
  web:
    image: busybox:2
    command: ["c"]
    environment: ["B=2", "C=3"]
    ports: ["81:81"]
    volumes: ["/three:/y"]
    labels: {m: "2"}
    networks: [host]
  other: {image: busybox, networks: {host: {}}}
networks: {host: {external: true}}
`,
    },
  });
  assert.deepEqual(services.map(({ spec }) => spec.Name), ["demo_web", "demo_other"]);
  const { TaskTemplate, EndpointSpec } = services[0]!.spec, container = TaskTemplate.ContainerSpec!;
  assert.deepEqual([container.Image, container.Args], ["busybox:2", ["c"]]);
  assert.deepEqual(container.Env, ["A=1", "B=2", "C=3"]);
  assert.deepEqual(EndpointSpec!.Ports!.map(({ PublishedPort }) => PublishedPort), [80, 81]);
  assert.deepEqual(container.Mounts!.map(({ Source, Target }) => `${Source}:${Target}`), [
    "/one:/x",
    "/three:/y",
  ]);
  assert.deepEqual(Object.keys(container.Labels!).sort(), ["com.docker.stack.namespace", "l", "m"]);
  assert.deepEqual(TaskTemplate.Networks, [{ Target: "host" }]);
});

Deno.test("Compose extends: of the same file and of another, whose paths are relative to it, and no circle", async () => {
  const files = {
    "/app/base/base.yml": `
services:
  common: {image: "busybox:\${TAG:-1}", environment: {A: "1"}, volumes: ["./data:/data"]}
`,
  };
  const { services } = await stackOf(
    `
services:
  web:
    extends: {file: base/base.yml, service: common}
    environment: {B: "2"}
  copy:
    extends: web
    user: nobody
`,
    { files, env: { TAG: "7" } },
  );
  const container = services[1]!.spec.TaskTemplate.ContainerSpec!;
  assert.deepEqual([container.Image, container.User, container.Env], ["busybox:7", "nobody", ["A=1", "B=2"]]);
  assert.equal(container.Mounts![0]!.Source, "/app/base/data");
  const circle = "services: {a: {extends: b, image: x}, b: {extends: a, image: x}}";
  await assert.rejects(stackOf(circle), /a extends b extends a without an end/);
  await assert.rejects(stackOf("services: {a: {extends: nobody}}"), /there is no such service/);
});

Deno.test("Compose profiles: a service with profiles is deployed where one of them is asked for", async () => {
  const text = "services: {web: {image: a}, debug: {image: b, profiles: [debug, all]}}";
  const names = async (profiles: string[]) =>
    (await stackOf(text, { profiles })).services.map(({ spec }) => spec.Name);
  assert.deepEqual(await names([]), ["demo_web"]);
  assert.deepEqual(await names(["all"]), ["demo_web", "demo_debug"]);
});
