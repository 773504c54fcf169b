import assert from "node:assert/strict";
import type { HealthConfig } from "../../../api/container_spec.ts";
import { policyOf } from "../../../manager/updater/policy.ts";
import { makeService } from "../orchestrator/harness.ts";

const SECOND = 1e9;

function monitorMs(Monitor: number | undefined, Healthcheck: HealthConfig, Delay = 0): number {
  const service = makeService("web", { Global: {} }, {
    UpdateConfig: { Parallelism: 1, Delay, ...(Monitor !== undefined && { Monitor }) },
    template: { Runtime: "container", ContainerSpec: { Image: "web", Healthcheck } },
  });
  return policyOf(service).monitorMs;
}

Deno.test("Policy: the monitor period covers the health check's start period and its retries (50)", () => {
  const check = { Test: ["CMD", "true"], StartPeriod: 20 * SECOND, Interval: 10 * SECOND, Retries: 2 };
  assert.equal(monitorMs(5 * SECOND, check), 40_000);
  assert.equal(monitorMs(60 * SECOND, check), 60_000);
  assert.equal(monitorMs(undefined, { Test: ["CMD", "true"] }), 90_000);
  assert.equal(monitorMs(undefined, { Test: ["NONE"] }), 5000);
});

Deno.test("Policy: a delay beyond the monitor period is monitored for a second longer (54)", () => {
  assert.equal(monitorMs(5 * SECOND, { Test: ["NONE"] }, 10 * SECOND), 11_000);
});
