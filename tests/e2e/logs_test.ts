/** `service logs` on a real cluster: the stock client and ours, on process and container services alike. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import type { TaskView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { replicatedContainers, runService, waitNode, withFleet } from "../support/e2e.ts";
import { eventually, Program, run, shows } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

/** Ten lines and an error. */
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
    const { stdout, stderr } = await run("docker", fleet.socket, "service", "logs", "--raw", name);
    out = stdout + stderr;
    return out.trimEnd().split("\n").length >= lines;
  }, () => out);
  return out;
}

/** The stock client with the flags that people know. */
async function follows(fleet: Fleet, name: string, socket = fleet.socket): Promise<void> {
  await printed(fleet, name, 11);
  const follower = new Program("docker", [
    "-H",
    `unix://${socket}`,
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
    await ours(fleet);
    // A follower answers as the leader does.
    await fleet.addManager("manager-2");
    await shows(/talk/, "docker", fleet.socketOf(2), "service", "ls");
    await follows(fleet, "talk", fleet.socketOf(2));
  }));

/** The same with `covey`. */
async function ours(fleet: Fleet): Promise<void> {
  const covey = async (...args: string[]) => {
    const { code, stdout, stderr } = await run("covey", fleet.socket, ...args);
    assert.equal(code, 0, stderr);
    return { stdout, stderr };
  };
  const all = await covey("service", "logs", "talk");
  const whose = "talk\\.1\\.[a-z0-9]{12}@(pi|manager-1) {4}\\|";
  assert.match(all.stdout, new RegExp(`^(${whose} line \\d+\\n){10}$`));
  assert.match(all.stderr, new RegExp(`^${whose} oops\\n$`));
  const [task] = await fleet.client.get<TaskView[]>("/tasks");
  assert.equal((await covey("task", "logs", "--raw", task!.ID)).stdout, lines(1, 10));
  assert.equal((await covey("service", "logs", "--raw", "--tail", "0", "talk")).stdout, "");
  assert.equal(
    (await covey("service", "logs", "--raw", "--since", "2100-01-01T00:00:00Z", "talk")).stdout,
    "",
  );
  assert.equal((await covey("service", "logs", "--raw", "--since", "1h", "talk")).stdout, lines(1, 10));
  const missing = await run("covey", fleet.socket, "service", "logs", "nobody");
  assert.deepEqual([missing.code, missing.stderr], [1, "covey: no such task or service: nobody\n"]);
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}\n`).join("");

Deno.test("Logs: who follows a device misses nothing and sees nothing twice while its agent is away", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1", ["--no-agent"]);
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    const counts = "i=1; while :; do echo line $i; i=$((i + 1)); sleep 0.1; done";
    await runService(fleet, processes("count", counts, 1), 1);
    const follower = new Program("docker", [
      "-H",
      `unix://${fleet.socket}`,
      ...["service", "logs", "-f", "--raw", "count"],
    ]);
    await follower.says(/line 10\n/);
    const before = last(follower);
    await fleet.end("pi", "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await fleet.restart("pi");
    await follower.says(new RegExp(`line ${before + 40}\\n`));
    await follower.end("SIGINT");
    const whole = follower.output.slice(0, follower.output.lastIndexOf("\n") + 1);
    assert.equal(whole, lines(1, last(follower)));
  }));

/** The number that was printed last. */
function last({ output }: Program): number {
  return Number([...output.matchAll(/line (\d+)\n/g)].at(-1)![1]);
}

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
