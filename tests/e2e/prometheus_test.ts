/** Prometheus finds nodes, services and tasks by the API that it knows of Docker Swarm. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { globalProcess, replicatedContainers, runService, withFleet } from "../support/e2e.ts";
import { eventually, freePort, Program } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

const ROLES = ["nodes", "services", "tasks"];

// Without Prometheus there is nothing to test; CI installs it.
const missing = await new Deno.Command("prometheus", { args: ["--version"] }).output()
  .then(({ success }) => !success, () => true);

interface Target {
  scrapePool: string;
  discoveredLabels: Record<string, string>;
}

function configuration(socket: string): string {
  const jobs = ROLES.map((role) =>
    `- job_name: ${role}\n  dockerswarm_sd_configs: [{host: "unix://${socket}", role: ${role}, refresh_interval: 1s}]\n`
  );
  return `global: {scrape_interval: 10m}\nscrape_configs:\n${jobs.join("")}`;
}

/** What Prometheus finds on a cluster, once `done` says that it is all; it must have nothing to complain of. */
async function found(fleet: Fleet, done: (targets: Target[]) => boolean): Promise<Target[]> {
  const folder = await Deno.makeTempDir(), port = freePort();
  await Deno.writeTextFile(`${folder}/p.yml`, configuration(fleet.socket));
  const prometheus = new Program("prometheus", [
    `--config.file=${folder}/p.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  let targets: Target[] = [];
  try {
    await prometheus.says(/Server is ready/);
    await eventually("all targets are found", async () => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/targets?state=active`);
      targets = (await response.json()).data.activeTargets;
      return done(targets);
    }, () => `${JSON.stringify(targets)}\n${prometheus.output}`);
  } finally {
    await prometheus.end();
    await Deno.remove(folder, { recursive: true });
  }
  assert.doesNotMatch(prometheus.output, /level=error|Unable to refresh|discovery.*err=/);
  return targets;
}

/** `spec` with a port of the host. */
function published(spec: ServiceSpec, target: number, port?: number): ServiceSpec {
  const given = port === undefined ? {} : { PublishedPort: port };
  const Ports = [{ Protocol: "tcp" as const, TargetPort: target, PublishMode: "host" as const, ...given }];
  return { ...spec, EndpointSpec: { Ports } };
}

for (const engine of [true, false]) {
  Deno.test({
    name: `Prometheus: finds all targets on a manager ${engine ? "with" : "without"} an engine`,
    ignore: missing || (engine && NO_ENGINE !== ""), // the reasons stand above and in the constant
    fn: () =>
      withFleet(engine ? { docker: TEST_ENGINE } : {}, async (fleet) => {
        await fleet.startManager("boss");
        const port = freePort();
        await runService(fleet, published(globalProcess("meter"), port, port), 1);
        if (engine) await runService(fleet, published(replicatedContainers("web", 1), 80), 1);
        const count = engine ? 3 : 2;
        const targets = await found(fleet, (all) => all.length >= count);
        const labels = (pool: string) =>
          targets.filter(({ scrapePool }) => scrapePool === pool).map(({ discoveredLabels }) =>
            discoveredLabels
          );
        const [node, ...others] = labels("nodes");
        assert.deepEqual(others, []);
        assert.equal(node!.__meta_dockerswarm_node_hostname, "boss");
        assert.equal(node!.__meta_dockerswarm_node_status, "ready");
        assert.equal(node!.__meta_dockerswarm_node_manager_leader, "true");
        const tasks = labels("tasks");
        const meter = tasks.find((each) => each.__meta_dockerswarm_service_name === "meter")!;
        assert.equal(meter.__address__, `${node!.__meta_dockerswarm_node_address}:${port}`);
        assert.equal(meter.__meta_dockerswarm_task_state, "running");
        assert.deepEqual(
          tasks.map((each) => each.__meta_dockerswarm_service_name).sort(),
          engine ? ["meter", "web"] : ["meter"],
        );
      }),
  });
}
