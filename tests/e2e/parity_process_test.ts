/** The stock client, which knows containers only, on a service of plain processes. */
import assert from "node:assert/strict";
import { withFleet } from "../support/e2e.ts";
import { Side, words } from "../support/parity.ts";

const SERVICE = {
  Name: "proc",
  TaskTemplate: {
    Runtime: "process",
    ProcessSpec: {
      Command: "/bin/sleep",
      Args: ["1000"],
      Env: ["A=b"],
      Dir: "/tmp",
      StopGracePeriod: 1e9,
    },
    RestartPolicy: { Condition: "any", Delay: 1e8 },
  },
  Mode: { Replicated: { Replicas: 1 } },
  // Long enough for the client to see that all run before the update is over, which it tells differently.
  UpdateConfig: { Parallelism: 2, Monitor: 1e9 },
};

async function installed(): Promise<boolean> {
  const version = new Deno.Command("docker", { args: ["--version"] });
  return await version.output().then((output) => output.success, () => false);
}

/** Runs `test` with a manager without an engine and the service on it. */
function withProcess(test: (docker: (line: string) => Promise<string>) => Promise<void>) {
  return withFleet({ docker: "none" }, async (fleet) => {
    await fleet.startManager(Deno.hostname());
    const side = new Side(fleet.socket);
    try {
      assert.equal((await side.call("POST", "/services/create", SERVICE)).status, 201);
      await side.settle("proc", 1);
      await test(async (line) => {
        const { code, out, err } = await side.run(words(line));
        // Newer clients name the service in their last line; which client comes first in the PATH is the machine's.
        const shown = out.replaceAll(Deno.hostname(), "<node>").replace(
          "Service proc converged",
          "Service converged",
        );
        return code === 0 ? shown : `status ${code}: ${err}`;
      });
    } finally {
      side.close();
    }
  });
}

Deno.test({
  name: "Docker parity: the stock client lists, inspects, scales, updates and removes a process service",
  ignore: !await installed(), // without the stock client there is nothing to test; CI installs it
  fn: () =>
    withProcess(async (docker) => {
      assert.match(await docker("service ls"), /^<id> {2}proc {2}replicated {2}1\/1 {2}process:sleep$/m);
      const running = /^<id> {2}proc\.1 {2}process:sleep {2}<node> {2}Running {2}Running <age>$/m;
      assert.match(await docker("service ps proc"), running);
      assert.match(await docker("node ps self"), running);
      const pretty = await docker("service inspect --pretty proc");
      assert.match(
        pretty,
        /^ContainerSpec:\n Image: {2}process:sleep\n Args: {2}1000\n Env: {2}A=b\n Dir: {2}\/tmp$/m,
      );

      const converged = "overall progress: 2 out of 2 tasks\nverify: Service converged";
      assert.equal(await docker("service scale proc=2"), `proc scaled to 2\n${converged}`);
      assert.equal(await docker("service update --force proc"), `proc\n${converged}`);
      const update = "service update --env-add C=d --env-rm A --label-add x=y proc";
      assert.equal(await docker(update), `proc\n${converged}`);
      assert.equal(
        await docker("service inspect proc --format '{{json .Spec.TaskTemplate.ContainerSpec}}'"),
        '{"Image":"process:sleep","Command":["/bin/sleep"],"Args":["1000"],"Env":["C=d"],"Dir":"/tmp",' +
          '"StopGracePeriod":1000000000,"DNSConfig":{},"Isolation":"default"}',
      );
      const ps = (await docker("service ps proc")).split("\n").slice(1);
      assert.deepEqual(ps.map((line) => line.replace(/^<id> +/, "").replace(/ {2}process.*/, "")), [
        "proc.1",
        "\\_ proc.1",
        "\\_ proc.1",
        "proc.2",
        "\\_ proc.2",
        "\\_ proc.2",
      ]);

      assert.match(
        await docker("service update --mount-add type=tmpfs,target=/x proc"),
        /ContainerSpec\.Mounts: cannot be used with runtime "process"/,
      );
      assert.match(
        await docker("service update --image /no/such/program proc"),
        /service update paused: update paused due to failure or early termination of task <id>$/,
      );
      assert.match(await docker("service ps --no-trunc proc"), /Failed <age> {2}".*\/no\/such\/program.*"$/m);
      assert.equal(await docker("service rm proc"), "proc");
      assert.equal(await docker("service ls"), "ID  NAME  MODE  REPLICAS  IMAGE  PORTS");
    }),
});
