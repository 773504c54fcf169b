import assert from "node:assert/strict";
import { serviceOf, stackOf } from "./compose.ts";

const FILE = `
services:
  web:
    image: a
    depends_on:
      db: {condition: service_healthy, required: true}
      migrate: {condition: service_completed_successfully}
      cache: {}
  db: {image: b}
  migrate: {image: c}
  cache: {image: d}
`;

Deno.test("Compose: depends_on in its long form orders starts on each node, by the services' names in the cluster", async () => {
  const { services } = await stackOf(FILE);
  assert.equal(
    services.find(({ spec }) => spec.Name === "demo_web")!.spec.Labels["covey.depends-on"],
    "demo_db=service_healthy,demo_migrate=service_completed_successfully,demo_cache=service_started",
  );
  assert.equal(Object.hasOwn(services[1]!.spec.Labels, "covey.depends-on"), false);
});

Deno.test("Compose: depends_on that can never come true, or asks for more than is done, is refused with its line", async () => {
  const text = FILE
    .replace(
      "cache: {}",
      "cache: {condition: soon, restart: true}\n      gone: {required: false}\n      web: {}",
    )
    .replace("db: {image: b}", "db: {image: b, depends_on: {cache: {}}}")
    .replace("cache: {image: d}", "cache: {image: d, depends_on: {db: {condition: service_started}}}");
  await assert.rejects(stackOf(text), ({ message }: Error) => {
    for (
      const line of [
        "8: services.web.depends_on.cache.condition: want one of service_started, ",
        "8: services.web.depends_on.cache.restart: is not supported in a swarm; a restart of one restarts no other",
        "9: services.web.depends_on.gone: service gone is not defined under services",
        "9: services.web.depends_on.gone.required: is not supported in a swarm",
        "services.web.depends_on: services wait for one another in a circle: web -> web",
        "services.db.depends_on: services wait for one another in a circle: db -> cache -> db",
        "services.cache.depends_on: services wait for one another in a circle: cache -> db -> cache",
      ]
    ) assert.ok(message.includes(line), `${line}\n--- is not in\n${message}`);
    return true;
  });
});

Deno.test("Compose: depends_on in its short form, which every file has, is refused with what to write instead", async () => {
  await assert.rejects(
    serviceOf("depends_on: [web]"),
    /web\.depends_on: .*; the long form, with a condition/,
  );
  const { spec } = await serviceOf("depends_on: [web]", { ignoreUnsupported: true });
  assert.equal(Object.hasOwn(spec.Labels, "covey.depends-on"), false);
});
