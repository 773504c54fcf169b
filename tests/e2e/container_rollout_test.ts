/**
 * Rollouts on six devices, every program the container of an image of its own. The devices share one engine, which their
 * labels keep apart. What runs is counted by container ID, process ID and start time.
 */
import type { TaskSpec } from "../../api/service.ts";
import { EngineClient } from "../../executors/docker/engine_client.ts";
import type { ContainerInspect } from "../../executors/docker/engine_types.ts";
import { hasCode } from "../../api/errors.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";
import { type Kind, showRollouts } from "./device_rollout_script.ts";

class Containers implements Kind {
  readonly docker = TEST_ENGINE;
  readonly #engine = new EngineClient(TEST_ENGINE);
  /** Nobody else on the engine has images of that name, another run of this test included. */
  readonly #name = `covey-rollout-${crypto.randomUUID()}`;
  readonly #versions = new Set<number>();
  #folder = "";

  /** An image is what a container of busybox would be with another program. */
  async prepare(version: number, program: readonly string[], folder: string): Promise<void> {
    this.#folder = folder;
    const { Id } = await this.#engine.call<{ Id: string }>("POST", "/containers/create", {
      body: { Image: "busybox:local", Cmd: ["true"] },
    });
    const query = { container: Id, repo: this.#name, tag: String(version) };
    const changes = `CMD ${JSON.stringify(program)}`;
    await this.#engine.call("POST", "/commit", { query: { ...query, changes }, body: {} });
    await this.#engine.call("DELETE", `/containers/${Id}`);
    this.#versions.add(version);
  }

  task(version: number) {
    const { Type, ReadOnly } = { Type: "bind" as const, ReadOnly: true };
    return {
      Runtime: "container",
      ContainerSpec: {
        Image: this.#image(version),
        Mounts: [{ Type, Source: this.#folder, Target: this.#folder, ReadOnly }],
        // A first process that does not handle it ignores the signal to end.
        Init: true,
        StopGracePeriod: 1e9,
      },
    };
  }

  isOf(version: number, { ContainerSpec }: TaskSpec): boolean {
    return ContainerSpec?.Image === this.#image(version);
  }

  async running(version: number): Promise<string[]> {
    const states = await Promise.all((await this.#containers(version)).map((id) => this.#state(id)));
    return states.filter((state) => state !== "");
  }

  /** Leaves nothing on the engine, also where the devices did. */
  async remove(): Promise<void> {
    for (const version of this.#versions) {
      for (const id of await this.#containers(version)) {
        await this.#engine.call("DELETE", `/containers/${id}`, { query: { force: "1" } });
      }
      await this.#engine.call("DELETE", `/images/${this.#image(version)}`);
    }
    this.#engine.close();
  }

  #image(version: number): string {
    return `${this.#name}:${version}`;
  }

  /** IDs of those that run, and of all others. */
  async #containers(version: number): Promise<string[]> {
    const query = { all: "1", filters: JSON.stringify({ ancestor: [this.#image(version)] }) };
    const found = await this.#engine.call<{ Id: string }[]>("GET", "/containers/json", { query });
    return found.map(({ Id }) => Id);
  }

  /** `CONTAINER@PID@START`; empty for one that does not run any more. */
  async #state(id: string): Promise<string> {
    try {
      const { State } = await this.#engine.call<ContainerInspect>("GET", `/containers/${id}/json`);
      return State.Running ? `${id}@${State.Pid}@${State.StartedAt}` : "";
    } catch (thrown) {
      if (hasCode(thrown, "not_found")) return "";
      throw thrown;
    }
  }
}

Deno.test({
  name:
    "E2E: six devices with containers go through good, bad, paused and aborted rollouts, and away and back",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: async () => {
    const containers = new Containers();
    try {
      await showRollouts(containers);
    } finally {
      await containers.remove();
    }
  },
});
