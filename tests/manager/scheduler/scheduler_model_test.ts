import assert from "node:assert/strict";
import fc from "fast-check";
import { Fleet } from "../orchestrator/harness.ts";

const scenario = fc.record({
  cores: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 6 }),
  services: fc.array(
    fc.record({ replicas: fc.integer({ min: 0, max: 12 }), cores: fc.integer({ min: 0, max: 3 }) }),
    { maxLength: 4 },
  ),
  failures: fc.array(fc.nat(30), { maxLength: 4 }),
});

Deno.test("Scheduler: no node is over-reserved, nothing waits that would fit, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ cores, services, failures }) => {
      await using fleet = await Fleet.of([]);
      for (const [i, n] of cores.entries()) await fleet.node(`n${i}`, { resources: { NanoCPUs: n * 1e9 } });
      const reserved = new Map<string, number>();
      for (const [i, { replicas, cores }] of services.entries()) {
        const Resources = cores > 0 ? { Reservations: { NanoCPUs: cores * 1e9 } } : {};
        reserved.set(await fleet.replicated(`s${i}`, replicas, { template: { Resources } }), cores);
      }
      for (const pick of failures) {
        const running = fleet.store.all("tasks").filter((task) => task.Status.State === "running");
        const victim = running[pick % Math.max(1, running.length)];
        if (victim) await fleet.agents.report(victim.ID, "failed");
        await fleet.clock.advance(6000);
      }
      const free = new Map(cores.map((n, i) => [`n${i}`, n]));
      for (const [id, each] of reserved) {
        for (const { NodeID } of fleet.running(id)) free.set(NodeID, free.get(NodeID)! - each);
      }
      assert.ok([...free.values()].every((left) => left >= 0), "over-reserved");
      for (const [id, each] of reserved) {
        const waiting = fleet.wanted(id).length - fleet.running(id).length;
        if (waiting > 0) assert.ok([...free.values()].every((left) => left < each), "waits although it fits");
      }
    }),
    { numRuns: 25 },
  );
});
