/** A fleet that was off for longer than its certificates: real programs that believe in a later day. */
import assert from "node:assert/strict";
import type { NodeView, SwarmView, TaskView } from "../../cli/api_types.ts";
import { ControlClient } from "../../cli/client.ts";
import { globalProcess } from "../support/e2e.ts";
import { DAY_MS, denoAhead } from "../support/other_clock.ts";
import { eventually, freePort, inFolder, Program, ROOT } from "../support/programs.ts";

/** A manager and a device's agent, which come and go. */
class LateFleet {
  readonly #folder: string;
  readonly #address = `127.0.0.1:${freePort()}`;
  readonly client: ControlClient;
  manager: Program | undefined;
  agent: Program | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.client = new ControlClient(`unix://${folder}/m/covey.sock`);
  }

  async startManager(days: number): Promise<void> {
    const args = [
      "--docker",
      "none",
      "--no-agent",
      "--state-dir",
      `${this.#folder}/m`,
      "--listen",
      this.#address,
    ];
    this.manager = new Program(`${ROOT}manager/launch.sh`, args, {
      COVEY_DENO: await denoAhead(this.#folder, `${days}`, days * DAY_MS),
    });
    await this.manager.says(/serves at/);
  }

  async startAgent(days: number, token?: string): Promise<void> {
    const args = ["--docker", "none", "--state-dir", `${this.#folder}/a`, "--hostname", "device"];
    if (token) args.push("--join", this.#address, "--token", token);
    this.agent = new Program(`${ROOT}agent/launch.sh`, args, {
      COVEY_DENO: await denoAhead(this.#folder, `${days}`, days * DAY_MS),
    });
  }

  async stop(): Promise<void> {
    await this.agent?.end();
    await this.manager?.end();
  }

  /** The node, its task and the task's process, once the node is ready and the task runs. */
  async seen(): Promise<string> {
    let found = "";
    await eventually("the task runs on the device", async () => {
      const [nodes, tasks] = await Promise.all([
        this.client.get<NodeView[]>("/nodes"),
        this.client.get<TaskView[]>("/tasks"),
      ]);
      const device = nodes.filter(({ Description }) => Description?.Hostname === "device");
      found = JSON.stringify([
        device.map(({ ID }) => ID),
        tasks.map(({ ID, Status }) => [ID, Status.State, Status.ContainerStatus?.PID]),
      ]);
      return device.length === 1 && device[0]!.Status.State === "ready" &&
        tasks[0]?.Status.State === "running";
    }, () => `${found}\n${this.manager?.output}\n${this.agent?.output}`);
    return found;
  }

  async end(): Promise<void> {
    for (const { ID } of await this.client.get<{ ID: string }[]>("/services")) {
      await this.client.delete(`/services/${ID}`);
    }
    await eventually(
      "no task is left",
      async () => (await this.client.get<TaskView[]>("/tasks")).length === 0,
    );
    await this.stop();
  }
}

Deno.test("Late: after 100 days off the cluster goes on by itself, after 400 with a token; same node, same running task", () =>
  inFolder(async (folder) => {
    const fleet = new LateFleet(folder);
    try {
      await fleet.startManager(0);
      const token = async () => (await fleet.client.get<SwarmView>("/swarm")).JoinTokens.Worker;
      await fleet.startAgent(0, await token());
      await fleet.client.post("/services/create", globalProcess("app"));
      const before = await fleet.seen();
      await fleet.stop();

      await fleet.startManager(100);
      assert.match(fleet.manager!.output, /The certificate had expired: manager \S+ has signed its own/);
      await fleet.startAgent(100);
      assert.equal(await fleet.seen(), before);
      await fleet.stop();

      await fleet.startManager(400);
      await fleet.startAgent(400);
      await fleet.agent!.says(
        /Cannot renew .* for 180 days; started with --join and a join token of this cluster the node keeps/,
      );
      await fleet.agent!.end();
      await fleet.startAgent(400, await token());
      assert.equal(await fleet.seen(), before);
      await fleet.end();
    } finally {
      fleet.client.close();
      await fleet.agent?.end("SIGKILL");
      await fleet.manager?.end("SIGKILL");
    }
  }));
