import assert from "node:assert/strict";
import type { ShownMetrics } from "../../api/node_metrics.ts";
import type { NodeView } from "../../cli/api_types.ts";
import { waitNode, withFleet } from "../support/e2e.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

Deno.test("Metrics: a device in its sandbox measures itself, and its manager shows it", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1");
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    let pi: (NodeView & { Metrics?: ShownMetrics }) | undefined;
    await fleet.waitUntil("pi has told how it is", async () => {
      const nodes = await fleet.client.get<NodeView[]>("/nodes");
      pi = nodes.find(({ Description }) => Description?.Hostname === "pi");
      return pi?.Metrics !== undefined;
    });
    const { MemoryUsedBytes, MemoryTotalBytes, CPU, DiskTotalBytes, ClockSkewMs } = pi!.Metrics!;
    assert.ok(MemoryUsedBytes! > 0 && MemoryUsedBytes! < MemoryTotalBytes!);
    assert.ok(CPU! >= 0 && CPU! <= 1);
    assert.ok(DiskTotalBytes! > 0);
    assert.ok(Math.abs(ClockSkewMs!) < 60_000, "it is the same machine");
    const client = Deno.createHttpClient({ proxy: { transport: "unix", path: fleet.socket } });
    const text = await (await fetch(`${SOCKET_ORIGIN}/metrics`, { client })).text();
    client.close();
    assert.ok(text.includes(`covey_node_memory_total_bytes{node="${pi!.ID}"} ${MemoryTotalBytes}\n`), text);
  }));
