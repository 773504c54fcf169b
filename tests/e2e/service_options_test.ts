/**
 * Every option of `docker service create`, sent by the stock client to a real manager: it works, or is refused in the words of
 * the table in the documentation, which has a row for each; and through to the container, as the engine shows it.
 */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { runningTasks, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { run } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";
import { OPTION_CASES, type OptionCase } from "./service_options.ts";

const TABLE = new URL("../../docs/operations/service_options.md", import.meta.url);

/** An option by which the client is known that the table is about. */
const NEWEST_OPTION = "oom-score-adj";

/** The table's rows: option to what it says. */
async function rows(): Promise<Map<string, string>> {
  const text = await Deno.readTextFile(TABLE);
  const found = [...text.matchAll(/^\| `--([a-z-]+)` +\| (.*?) +\|$/gm)].map((
    [, option, says],
  ): [string, string] => [option!, says!]);
  assert.equal(new Set(found.map(([option]) => option)).size, found.length, "one row for each");
  return new Map(found);
}

async function optionsOfClient(): Promise<string[]> {
  const { stdout } = await new Deno.Command("docker", { args: ["service", "create", "--help"] }).output();
  return [...new TextDecoder().decode(stdout).matchAll(/^ {2,6}(?:-\w, )?--([a-z-]+)/gm)].map(([, option]) =>
    option!
  );
}

/** What stands at `path` in `value`. */
function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (part, key) => (part as Record<string, unknown> | undefined)?.[key],
    value,
  );
}

async function check(
  fleet: Fleet,
  { option, args, at: path, value, refused }: OptionCase,
  says: string,
  file: string,
) {
  const name = args.some((arg) => arg.startsWith("--name=")) ? "other" : "s";
  const flags = args.map((arg) => arg.replace(/=FILE$/, `=${file}`));
  const named = name === "s" ? [...flags, "--name=s"] : flags;
  const answer = await run(
    "docker",
    fleet.socket,
    "service",
    "create",
    "-d",
    ...named,
    "busybox:local",
    "true",
  );
  if (refused !== undefined) {
    assert.notEqual(answer.code, 0, `${args} is taken`);
    assert.ok(answer.stderr.includes(refused), `${args}: ${answer.stderr}`);
    assert.ok(says.includes(`\`${refused}\``), `the row of --${option} has the words: ${refused}`);
    return;
  }
  assert.equal(answer.code, 0, `${args}: ${answer.stderr}`);
  assert.match(says, /\bworks?\b/, `the row of --${option}`);
  const { Spec } = await fleet.client.get<{ Spec: unknown }>(`/services/${name}`);
  await fleet.client.delete(`/services/${name}`);
  if (path !== undefined) assert.deepEqual(at(Spec, path), value, args.join(" "));
}

Deno.test("Service options: each that the stock client has works, or is refused in the words of the table", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    const table = await rows(), options = await optionsOfClient();
    // An older client has fewer options.
    const cases = new Set(OPTION_CASES.map(({ option }) => option));
    assert.deepEqual(options.filter((option) => !table.has(option)), [], "rows of the table");
    assert.deepEqual(options.filter((option) => !cases.has(option)), [], "cases here");
    assert.deepEqual([...table.keys()].sort(), [...cases].sort(), "a case for each row");
    const file = await Deno.makeTempFile({ prefix: "covey-options-" });
    await Deno.writeTextFile(file, "F=1\n");
    for (const kind of ["secret", "config"]) {
      assert.equal((await run("docker", fleet.socket, kind, "create", "given", file)).code, 0);
    }
    const network = ["network", "create", "--driver=overlay", "mesh"];
    assert.equal((await run("docker", fleet.socket, ...network)).code, 0);
    const wrong: string[] = [];
    const isPresent = options.includes(NEWEST_OPTION);
    for (const each of OPTION_CASES) {
      if (!options.includes(each.option) || (each.isOfPresentClient && !isPresent)) continue;
      await check(fleet, each, table.get(each.option)!, file).catch((thrown) =>
        wrong.push(`${thrown.message}`)
      );
    }
    await Deno.remove(file);
    assert.deepEqual(wrong, []);
  }));

/** Options, and what `docker inspect` shows of the container. */
const IN_CONTAINER: readonly [flag: string, at: string, shows: unknown][] = [
  ["--cap-add=NET_ADMIN", "HostConfig.CapAdd", ["CAP_NET_ADMIN"]],
  ["--cap-drop=CHOWN", "HostConfig.CapDrop", ["CAP_CHOWN"]],
  ["--container-label=a=b", "Config.Labels.a", "b"],
  ["--dns=10.0.0.1", "HostConfig.Dns", ["10.0.0.1"]],
  ["--dns-option=ndots:2", "HostConfig.DnsOptions", ["ndots:2"]],
  ["--dns-search=lan", "HostConfig.DnsSearch", ["lan"]],
  ["--entrypoint=/bin/sh -c", "Config.Entrypoint", ["/bin/sh", "-c"]],
  ["--env=A=b", "Config.Env.0", "A=b"],
  ["--group=7", "HostConfig.GroupAdd", ["7"]],
  ["--health-cmd=true", "Config.Healthcheck.Test", ["CMD-SHELL", "true"]],
  ["--health-interval=1s", "Config.Healthcheck.Interval", 1e9],
  ["--health-retries=4", "Config.Healthcheck.Retries", 4],
  ["--health-start-period=5s", "Config.Healthcheck.StartPeriod", 5e9],
  ["--health-timeout=6s", "Config.Healthcheck.Timeout", 6e9],
  ["--host=box:10.0.0.2", "HostConfig.ExtraHosts", ["box:10.0.0.2"]],
  ["--hostname={{.Service.Name}}", "Config.Hostname", "all"],
  ["--init", "HostConfig.Init", true],
  ["--limit-cpu=0.5", "HostConfig.CpuQuota", 50_000],
  ["--limit-memory=64m", "HostConfig.Memory", 64 * 1024 ** 2],
  ["--limit-pids=50", "HostConfig.PidsLimit", 50],
  ["--log-driver=json-file", "HostConfig.LogConfig.Type", "json-file"],
  ["--log-opt=max-size=1m", "HostConfig.LogConfig.Config", { "max-size": "1m" }],
  ["--mount=type=tmpfs,target=/t,tmpfs-size=65536,tmpfs-mode=0700", "HostConfig.Mounts.0.TmpfsOptions", {
    SizeBytes: 65536,
    Mode: 0o700,
  }],
  [
    "--mount=type=bind,source=/etc,target=/b,bind-propagation=private,readonly",
    "HostConfig.Mounts.1.BindOptions",
    {
      Propagation: "private",
    },
  ],
  [
    "--mount=type=volume,source=covey-options,target=/v,volume-label=a=b",
    "HostConfig.Mounts.2.VolumeOptions.Labels",
    { a: "b" },
  ],
  ["--oom-score-adj=300", "HostConfig.OomScoreAdj", 300],
  ["--publish=mode=host,target=80,published=18080", "HostConfig.PortBindings", {
    "80/tcp": [{ HostIp: "", HostPort: "18080" }],
  }],
  ["--read-only", "HostConfig.ReadonlyRootfs", true],
  ["--reserve-memory=32m", "HostConfig.MemoryReservation", 32 * 1024 ** 2],
  ["--stop-grace-period=1s", "Config.StopTimeout", 1],
  ["--stop-signal=SIGINT", "Config.StopSignal", "SIGINT"],
  ["--sysctl=net.core.somaxconn=512", "HostConfig.Sysctls", { "net.core.somaxconn": "512" }],
  ["--tty", "Config.Tty", true],
  ["--ulimit=nofile=100:200", "HostConfig.Ulimits", [{ Name: "nofile", Hard: 200, Soft: 100 }]],
  ["--user=0:0", "Config.User", "0:0"],
  ["--workdir=/srv", "Config.WorkingDir", "/srv"],
];

Deno.test({
  name: "Service options: each is found in the container that the engine makes",
  ignore: NO_ENGINE !== "", // a reason is in the variable
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager");
      await waitNode(fleet, "manager", "ready");
      const options = await optionsOfClient();
      const known = IN_CONTAINER.filter(([flag]) => options.includes(/^--([a-z-]+)/.exec(flag)![1]!));
      const flags = known.map(([flag]) => flag);
      const created = await run(
        "docker",
        fleet.socket,
        "service",
        "create",
        "-d",
        "--name=all",
        ...flags,
        "busybox:local",
        "sleep 1000",
      );
      assert.equal(created.code, 0, created.stderr);
      const { ID } = await fleet.client.get<{ ID: string }>("/services/all");
      await waitRunning(fleet, ID, 1);
      const { ContainerID } = (await runningTasks(fleet, ID))[0]!.Status.ContainerStatus!;
      const engine = (...args: string[]) =>
        new Deno.Command("docker", { args: ["-H", `unix://${TEST_ENGINE}`, ...args] }).output();
      const [shown] = JSON.parse(
        new TextDecoder().decode((await engine("inspect", ContainerID)).stdout),
      ) as unknown[];
      const wrong = known.filter(([, path, value]) => {
        try {
          assert.deepEqual(at(shown, path), value);
          return false;
        } catch {
          return true;
        }
      }).map(([flag, path]) => `${flag}: ${path} is ${JSON.stringify(at(shown, path))}`);
      assert.deepEqual(wrong, []);
      await fleet.client.delete("/services/all");
      await fleet.waitUntil("the container is gone", async () =>
        !(await engine("inspect", ContainerID)).success);
      await engine("volume", "rm", "covey-options");
    }),
});

Deno.test({
  name: "Service options: what a device does not let its containers have is named where the task is shown",
  ignore: NO_ENGINE !== "", // a reason is in the variable
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager");
      await waitNode(fleet, "manager", "ready");
      const docker = (...args: string[]) => run("docker", fleet.socket, "service", ...args);
      const asked = [["covey.devices=/dev/full", "device /dev/full"], [
        "covey.privileged=true",
        "privileged busybox:local",
      ]];
      for (const [index, [label, what]] of asked.entries()) {
        const name = `asks${index}`;
        const flags = ["-d", `--name=${name}`, "--restart-condition=none", `--container-label=${label}`];
        assert.equal((await docker("create", ...flags, "busybox:local", "sleep 1000")).code, 0);
        await fleet.waitUntil("the task says why", async () => {
          const { stdout } = await docker("ps", "--no-trunc", "--format={{.CurrentState}} {{.Error}}", name);
          return stdout.includes("Rejected") && stdout.includes(`${what} is not let in`);
        });
      }
    }),
});
