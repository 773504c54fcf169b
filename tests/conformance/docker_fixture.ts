import type { ContainerSpec } from "../../api/container_spec.ts";
import type { Task } from "../../api/task.ts";
import { createDockerExecutor } from "../../executors/docker/docker_executor.ts";
import { EngineClient } from "../../executors/docker/engine_client.ts";
import type { Fixture, Program } from "./executor_conformance.ts";
import { TEST_ENGINE as ENGINE_SOCKET } from "../support/test_engine.ts";
import { NODE_ID, taskWith } from "./tasks.ts";

export { NO_ENGINE, TEST_ENGINE as ENGINE_SOCKET } from "../support/test_engine.ts";

/** An image that the engine has. */
export const TEST_IMAGE = "busybox:local";

/** A task that runs a container of the test image. */
export function containerTask(spec: Partial<ContainerSpec>): Task {
  return taskWith({ Runtime: "container", ContainerSpec: { Image: TEST_IMAGE, ...spec } });
}

function specOf(program: Program): Partial<ContainerSpec> {
  // The first process of a container gets signals only if it asks for them.
  if (program === "forever") return { Command: ["sh", "-c", "trap 'exit 143' TERM; sleep 100000 & wait"] };
  if (program === "stubborn") return { Command: ["sleep", "100000"], StopGracePeriod: 1e9 };
  if (program === "prints") {
    return { Command: ["sh", "-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three"] };
  }
  if (program === "missing") return { Image: "covey-no-such-image" };
  if (program === "bad") return { Image: "not an image" };
  return { Command: ["sh", "-c", `exit ${program.exit}`] };
}

/** IDs of a task's containers. */
async function containersOf(engine: EngineClient, label: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [label] });
  const found = await engine.call<{ Id: string }[]>("GET", "/containers/json", {
    query: { all: "1", filters },
  });
  return found.map(({ Id }) => Id);
}

/** The docker executor on the tests' engine. */
export function dockerFixture(): Promise<Fixture & { engine: EngineClient }> {
  const engine = new EngineClient(ENGINE_SOCKET);
  const remove = async (label: string) => {
    for (const id of await containersOf(engine, label)) {
      await engine.call("DELETE", `/containers/${id}`, { query: { force: "1", v: "1" } });
    }
  };
  return Promise.resolve({
    engine,
    executor: () =>
      Promise.resolve(
        createDockerExecutor({ stateDir: "/nonexistent", nodeID: NODE_ID }, { socket: ENGINE_SOCKET }),
      ),
    task: (program) => containerTask(specOf(program)),
    vanish: (task) => remove(`com.docker.swarm.task.id=${task.ID}`),
    traces: (task) => containersOf(engine, `com.docker.swarm.task.id=${task.ID}`),
    close: async () => {
      await remove(`com.docker.swarm.node.id=${NODE_ID}`);
      engine.close();
    },
  });
}
