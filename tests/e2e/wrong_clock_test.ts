/** A device whose clock is wrong by decades, and jumps: real programs, of which the agent's believes in another time. */
import assert from "node:assert/strict";
import type { NodeView, SwarmView, TaskView } from "../../cli/api_types.ts";
import type { ShownMetrics } from "../../api/node_metrics.ts";
import { ControlClient } from "../../cli/client.ts";
import { globalProcess } from "../support/e2e.ts";
import { DAY_MS, denoAhead } from "../support/other_clock.ts";
import { eventually, freePort, inFolder, Program, start } from "../support/programs.ts";
import { LAUNCHER } from "../agent/support/agent_process.ts";

const TWENTY_YEARS_MS = 20 * 365.25 * DAY_MS;
/** The state folder of an agent is all that it can read, so what its clock says is in there. */
const AHEAD_FILE = "ahead";

class Device {
  readonly #folder: string;
  readonly #address: string;
  agent: Program | undefined;

  constructor(folder: string, address: string) {
    this.#folder = folder;
    this.#address = address;
  }

  /** Sets its clock, also while the agent runs. */
  async setClock(aheadMs: number): Promise<void> {
    await Deno.mkdir(`${this.#folder}/agent`, { recursive: true });
    const file = `${this.#folder}/agent/${AHEAD_FILE}`;
    await Deno.writeTextFile(`${file}.new`, String(aheadMs));
    await Deno.rename(`${file}.new`, file);
  }

  async start(token?: string): Promise<void> {
    const file = `${this.#folder}/agent/${AHEAD_FILE}`;
    const deno = await denoAhead(this.#folder, "device", `Number(Deno.readTextFileSync("${file}"))`);
    const flags = ["--docker", "none", "--state-dir", `${this.#folder}/agent`, "--hostname", "device"];
    const join = token ? ["--join", this.#address, "--token", token] : [];
    this.agent = new Program(LAUNCHER, [...flags, ...join], { COVEY_DENO: deno });
  }
}

async function seen(
  client: ControlClient,
  ready = true,
): Promise<{ node: NodeView | undefined; pid: number }> {
  let node: NodeView | undefined, pid = 0;
  await eventually("the device's task runs", async () => {
    const [nodes, tasks] = await Promise.all([
      client.get<NodeView[]>("/nodes"),
      client.get<TaskView[]>("/tasks"),
    ]);
    node = nodes.find(({ Description }) => Description?.Hostname === "device");
    const running = tasks.filter(({ Status }) => Status.State === "running");
    pid = running[0]?.Status.ContainerStatus?.PID ?? 0;
    return running.length === 1 && pid !== 0 && (!ready || node?.Status.State === "ready");
  });
  return { node, pid };
}

Deno.test("Clock: a device of 1970 joins and works, a jump cuts no session, one decades ahead waits and is back once it is set", () =>
  inFolder(async (folder) => {
    const address = `127.0.0.1:${freePort()}`, api = `${folder}/api.sock`;
    const flags = ["--no-agent", "--state-dir", `${folder}/manager`, "--listen", address, "--api", api];
    const manager = start("manager", ...flags), client = new ControlClient(`unix://${api}`);
    const device = new Device(folder, address);
    try {
      await manager.says(/serves at/);
      const { JoinTokens: { Worker } } = await client.get<SwarmView>("/swarm");
      await device.setClock(-Date.now() + DAY_MS);
      await device.start(Worker);
      await client.post("/services/create", globalProcess("app"));
      const first = await seen(client);
      await eventually("how wrong its clock is, is shown", async () => {
        const { Metrics } = await client.get<{ Metrics?: ShownMetrics }>(`/nodes/${first.node!.ID}`);
        return (Metrics?.ClockSkewMs ?? 0) < -50 * 365 * DAY_MS;
      });
      // While it runs: to decades ahead, and back to 1970.
      for (const aheadMs of [TWENTY_YEARS_MS, -Date.now() + DAY_MS]) {
        await device.setClock(aheadMs);
        await client.post("/services/create", globalProcess("more"));
        await eventually(
          "another task runs",
          async () =>
            (await client.get<TaskView[]>("/tasks")).filter(({ Status }) => Status.State === "running")
              .length === 2,
        );
        await client.delete("/services/more");
        assert.equal((await seen(client)).pid, first.pid);
      }
      await device.agent!.end("SIGKILL");
      await device.setClock(TWENTY_YEARS_MS);
      await device.start();
      await device.agent!.says(/the clock says 20[4-9]\d/);
      assert.equal((await seen(client, false)).pid, first.pid, "its task goes on");
      await device.setClock(0);
      await device.agent!.says(/is connected/);
      const last = await seen(client);
      assert.deepEqual([last.node?.ID, last.pid], [first.node?.ID, first.pid]);
      await client.delete("/services/app");
      await eventually("no task is left", async () => (await client.get<TaskView[]>("/tasks")).length === 0);
    } finally {
      client.close();
      await device.agent?.end("SIGKILL");
      await manager.end();
    }
  }));
