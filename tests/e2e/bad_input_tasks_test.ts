/** What a user reads of a task that cannot run: `service ps` of both clients shows the reason, whatever it is. */
import assert from "node:assert/strict";
import { globalProcess, runService, waitNode, withFleet } from "../support/e2e.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";
import { ROOT, run, shows } from "../support/programs.ts";

const PROCESS = ["--executor", "process", "--restart-condition", "none"];
const CONTAINER = ["--restart-condition", "none"];

/** Name, flags and program, the state, and the reason. */
const DOOMED: [string, string[], string, RegExp][] = [
  [
    "no-program",
    [...PROCESS, "/no/program"],
    "Failed",
    /ProcessSpec.Command: no such program: \/no\/program/,
  ],
  ["no-exec", [...PROCESS, `${ROOT}README.md`], "Failed", /ProcessSpec.Command: not executable: .*README.md/],
  ["folder", [...PROCESS, "/etc"], "Failed", /ProcessSpec.Command: no such program: \/etc/],
  ["no-dir", [...PROCESS, "-w", "/no/dir", "/bin/true"], "Failed", /ProcessSpec.Dir: cannot enter \/no\/dir/],
  [
    "no-user",
    [...PROCESS, "-u", "nobodyhere", "/bin/true"],
    "Failed",
    /ProcessSpec.User: no such user: nobodyhere/,
  ],
  ["fails", [...PROCESS, "/bin/sh", "-c", "exit 7"], "Failed", /non-zero exit \(7\)/],
  [
    "no-image",
    [...CONTAINER, "covey.invalid/no:image"],
    "Rejected",
    /No such image: covey.invalid\/no:image/,
  ],
  [
    "no-command",
    [...CONTAINER, "busybox:local", "/no/program"],
    "Failed",
    /\/no\/program.*no such file or directory/,
  ],
  [
    "nowhere",
    [...PROCESS, "--constraint", "node.labels.site==moon", "/bin/true"],
    "Pending",
    /scheduling constraints not satisfied on 1 node/,
  ],
  [
    "too-big",
    [...PROCESS, "--reserve-memory", "900g", "/bin/true"],
    "Pending",
    /insufficient resources on 1 node/,
  ],
];

Deno.test({
  name: "Tasks that cannot run: both clients show each one's reason, and the others are not disturbed",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager-1");
      await waitNode(fleet, "manager-1", "ready");
      await runService(fleet, globalProcess("healthy"), 1);
      for (const [name, flags] of DOOMED) {
        const { code, stderr } = await run(
          "covey",
          fleet.socket,
          "service",
          "create",
          "-d",
          "--name",
          name,
          ...flags,
        );
        assert.equal(code, 0, stderr);
      }
      const both = ["covey", "docker"] as const;
      await Promise.all(DOOMED.flatMap(([name, _, state, reason]) =>
        both.map((program) => {
          const line = new RegExp(
            `${name}\\.1 .* ${state} .*"${reason.source.startsWith("^") ? "" : ".*"}${reason.source}`,
          );
          const full = program === "docker" ? ["--no-trunc"] : [];
          return shows(line, program, fleet.socket, "service", "ps", ...full, name);
        })
      ));
      const { stdout } = await run("covey", fleet.socket, "task", "ls", "--format", "json");
      const tasks = JSON.parse(stdout) as { Status: { State: string; Err?: string } }[];
      assert.equal(tasks.length, DOOMED.length + 1);
      for (const { Status } of tasks) {
        assert.ok(Status.State === "running" || Status.Err, JSON.stringify(Status));
      }
      await shows(/healthy .* 1\/1/, "docker", fleet.socket, "service", "ls");
    }),
});

const BAD_FLAGS: [string[], RegExp][] = [
  [[], /missing required argument 'image\|program\|file'/],
  [["--executor", "x", "y"], /--executor as one of docker, process, deno: current value is "x"/],
  [
    ["--mode", "x", "y"],
    /--mode as one of replicated, global, replicated-job, global-job: current value is "x"/,
  ],
  [["--replicas", "-1", "y"], /--replicas as a whole number: current value is "-1"/],
  [["--limit-memory", "x", "y"], /--limit-memory as a size such as 64m or 1g: current value is "x"/],
  [["--limit-cpu", "x", "y"], /--limit-cpu as a number of CPUs such as 0.5: current value is "x"/],
  [["--restart-delay", "x", "y"], /--restart-delay as a duration such as 10s/],
  [["--update-order", "x", "y"], /--update-order as one of stop-first, start-first/],
  [["-p", "x", "y"], /--publish: want published=8080,target=80 or 8080:80/],
  [["--bogus", "y"], /unknown option '--bogus'/],
];

Deno.test("covey: wrong flags are named with what they want, and end with 2 before anybody is asked", async () => {
  await Promise.all(BAD_FLAGS.map(async ([flags, reason]) => {
    const { code, stderr } = await run("covey", "/no/socket", "service", "create", ...flags);
    assert.match(stderr, reason);
    assert.equal(code, 2, flags.join(" "));
  }));
});
