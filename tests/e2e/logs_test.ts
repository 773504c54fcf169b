/** `service logs` on a real cluster: the stock client and ours, on process and container services alike. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { replicatedContainers, runService, waitNode, withFleet } from "../support/e2e.ts";
import { eventually, Program, run } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

/** Ten lines, then one for each time that the file is touched. */
const TALKS =
  "i=1; while [ $i -le 10 ]; do echo line $i; i=$((i + 1)); done; echo oops >&2; exec sleep 100000";

function processes(name: string, script: string, count: number): ServiceSpec {
  return {
    Name: name,
    Labels: {},
    TaskTemplate: {
      Runtime: "process",
      ForceUpdate: 0,
      ProcessSpec: { Command: "/bin/sh", Args: ["-c", script], StopGracePeriod: 1e8 },
      RestartPolicy: { Condition: "none" },
    },
    Mode: { Replicated: { Replicas: count } },
  };
}

/** Waits until the service has printed so many lines in all. */
async function printed(fleet: Fleet, name: string, lines: number): Promise<string> {
  let out = "";
  await eventually(`${name} has printed ${lines} lines`, async () => {
    out = (await run("docker", fleet.socket, "service", "logs", "--raw", name)).stdout;
    return out.trimEnd().split("\n").length >= lines;
  }, () => out);
  return out;
}

/** The stock client with the flags that people know. */
async function follows(fleet: Fleet, name: string): Promise<void> {
  await printed(fleet, name, 10);
  const follower = new Program("docker", [
    "-H",
    `unix://${fleet.socket}`,
    ...["service", "logs", "-f", "--tail", "5", "-t", name],
  ]);
  try {
    await follower.says(/line 10\n/);
    const lines = follower.output.trimEnd().split("\n").slice(0, 5);
    const expected = [7, 8, 9, 10].map((n) => `line ${n}`);
    const texts = lines.map((line) => line.split("| ")[1]);
    assert.deepEqual(texts.filter((text) => text !== "oops").slice(-4), expected);
    for (const line of lines) {
      assert.match(
        line,
        new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:]+\\.\\d{9}Z ${name}\\.1\\.\\w+@[\\w-]+ +\\| `),
      );
    }
  } finally {
    await follower.end("SIGINT");
  }
}

Deno.test("Logs: the stock client and ours show what processes print", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1");
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    await runService(fleet, processes("talk", TALKS, 1), 1);
    await follows(fleet, "talk");
  }));

Deno.test({
  name: "Logs: the stock client shows what containers print as it shows that of processes",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager-1");
      await waitNode(fleet, "manager-1", "ready");
      const spec = replicatedContainers("box", 1);
      spec.TaskTemplate.ContainerSpec!.Command = ["sh", "-c", TALKS];
      await runService(fleet, spec, 1);
      await follows(fleet, "box");
    }),
});
