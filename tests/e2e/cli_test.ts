/** The `covey` command line on a real cluster, in the sandbox that `deno task covey` gives it. */
import assert from "node:assert/strict";
import type { NodeView, ServiceView, TaskView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { waitNode, withFleet } from "../support/e2e.ts";
import { type Answer, coveyArgs, Program, run, shows } from "../support/programs.ts";

const SLEEP = ["--executor", "process", "--stop-grace-period", "1s", "/bin/sleep", "1000"];

interface Covey {
  (...args: string[]): Promise<Answer>;
  /** Standard output of a command that succeeds. */
  ok(...args: string[]): Promise<string>;
  json<T>(...args: string[]): Promise<T>;
  fails(code: number, reason: RegExp, ...args: string[]): Promise<void>;
}

function coveyOf({ socket }: Fleet): Covey {
  const covey = (...args: string[]) => run("covey", socket, ...args);
  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await covey(...args);
    assert.equal(code, 0, `covey ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  return Object.assign(covey, {
    ok,
    json: async <T>(...args: string[]) => JSON.parse(await ok(...args, "--format", "json")) as T,
    async fails(code: number, reason: RegExp, ...args: string[]) {
      const answer = await covey(...args);
      assert.match(answer.stderr, reason, args.join(" "));
      assert.equal(answer.code, code, args.join(" "));
    },
  });
}

Deno.test("covey: every command does on a real cluster what its name says, and fails with its code and reason", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1");
    await fleet.startAgent("pi");
    for (const name of ["manager-1", "pi"]) await waitNode(fleet, name, "ready");
    const covey = coveyOf(fleet);
    await swarm(covey, fleet);
    await nodes(covey);
    await services(covey);
    await networks(covey);
    await waiting(covey, fleet);
    await failures(covey);
  }));

async function networks({ ok, json, fails }: Covey) {
  const create = ["network", "create", "shop", "--internal", "--attachable", "--subnet", "10.77.0.0/16"];
  const parts = ["--ip-range", "10.77.4.0/24", "--gateway", "10.77.0.9", "--aux-address", "router=10.77.0.3"];
  const id =
    (await ok(...create, ...parts, "--label", "tier=back", "-o", "com.docker.network.driver.mtu=1300"))
      .trim();
  const [network] = await json<Record<string, unknown>[]>("network", "inspect", "shop");
  assert.deepEqual([network!.Id, network!.Internal, network!.Attachable], [id, true, true]);
  const { Config } = network!.IPAM as { Config: object[] };
  const AuxiliaryAddresses = { router: "10.77.0.3" };
  const subnet = {
    Subnet: "10.77.0.0/16",
    IPRange: "10.77.4.0/24",
    Gateway: "10.77.0.9",
    AuxiliaryAddresses,
  };
  assert.deepEqual(Config, [subnet]);
  assert.match(await ok("network", "ls"), new RegExp(`^${id.slice(0, 12)} +shop +overlay +swarm$`, "m"));
  assert.equal((await ok("network", "ls", "-q", "-f", "label=tier=back")).trim(), id.slice(0, 12));
  await fails(1, /network with name shop already exists/, "network", "create", "shop");
  await fails(
    2,
    /no matching subnet for gateway 10.1.1.1/,
    "network",
    "create",
    "x",
    "--gateway",
    "10.1.1.1",
  );
  await fails(
    1,
    /encrypted overlay networks are not available yet/,
    "network",
    "create",
    "x",
    "-o",
    "encrypted",
  );
  assert.equal(await ok("network", "rm", "shop"), "shop\n");
  await fails(1, /network shop not found/, "network", "rm", "shop");
}

async function swarm({ ok, fails }: Covey, fleet: Fleet) {
  const token = (await ok("swarm", "join-token", "-q", "worker")).trim();
  assert.match(token, /^SWMTKN-1-/);
  const shown = await ok("swarm", "join-token", "worker");
  assert.ok(shown.includes(`run-agent --state-dir /var/lib/covey --join ${fleet.address} --token -\n`));
  assert.ok(shown.includes(`    ${token}\n`));
  assert.match(
    await ok("swarm", "join-token", "--rotate", "manager"),
    /rotated manager join token[^]*run-manager/,
  );
  assert.equal((await ok("swarm", "join-token", "-q", "worker")).trim(), token, "the other token stays");
  await fails(1, /already part of a swarm/, "swarm", "init");
  await fails(1, /already part of a swarm/, "swarm", "join", "--token", token, fleet.address);
  await fails(1, /Use `--force`/, "swarm", "leave");
  await fails(2, /no token; give --token-file/, "swarm", "join", fleet.address);
  await fails(2, /role as one of worker, manager/, "swarm", "join-token", "x");
}

async function nodes({ ok, json, fails }: Covey) {
  assert.match(await ok("node", "ls"), /manager-1 +Ready +Active +Leader[^]*pi +Ready +Active/);
  const [self] = await json<NodeView[]>("node", "inspect", "self");
  assert.equal(self?.Description?.Hostname, "manager-1");
  const workers = await json<NodeView[]>("node", "ls", "--filter", "role=worker");
  assert.deepEqual(workers.map((node) => node.Description?.Hostname), ["pi"]);
  await ok(
    "node",
    "update",
    "--availability",
    "pause",
    "--label-add",
    "site=attic",
    "--label-add",
    "x=y",
    "pi",
  );
  await ok("node", "update", "--availability", "active", "--label-rm", "x", "pi");
  const [pi] = await json<NodeView[]>("node", "inspect", "pi");
  assert.deepEqual([pi?.Spec.Labels, pi?.Spec.Availability], [{ site: "attic" }, "active"]);
  await fails(
    2,
    /availability as one of active, pause, drain/,
    "node",
    "update",
    "--availability",
    "x",
    "pi",
  );
  assert.equal(await ok("node", "demote", "pi"), "Node pi is already a worker.\n");
  assert.equal(await ok("node", "promote", "manager-1"), "Node manager-1 is already a manager.\n");
  await fails(1, /\(pi\) runs an agent only/, "node", "promote", "pi");
  await fails(1, /demote the last manager/, "node", "demote", "manager-1");
  await fails(1, /node nobody not found/, "node", "inspect", "nobody");
  await fails(1, /not down/, "node", "rm", "pi");
}

/** What an update of web would do, by flags and by a spec, and what it would not. */
async function plans(covey: Covey, update: string[]) {
  const planned = await covey("service", "update", "--plan", ...update, "web");
  assert.equal(planned.code, 2, planned.stderr);
  assert.match(planned.stdout, /TaskTemplate\.ProcessSpec\.Env: set to \["A=b"\]\n/);
  assert.match(
    planned.stdout,
    /\n3 tasks are replaced, 1 at a time:\n(?: {4}web\.\d on \S+\n){3}0 tasks go on/,
  );
  assert.match(
    planned.stdout,
    /\n1 device cannot run it:\n {4}manager-1 does not meet node\.labels\.site==attic\n/,
  );
  const [web] = await covey.json<ServiceView[]>("service", "inspect", "web");
  assert.equal(web!.Spec.TaskTemplate.ProcessSpec!.Env, undefined, "nothing is done");
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, JSON.stringify(web!.Spec));
  assert.match(
    await covey.ok("plan", "-f", file),
    /^Nothing to change in web: 3 tasks are as the spec says\n/,
  );
  await Deno.writeTextFile(file, JSON.stringify({ ...web!.Spec, Mode: { Global: {} } }));
  await covey.fails(1, /service mode change is not allowed/, "plan", "-f", file);
  await Deno.remove(file);
}

async function services(covey: Covey) {
  const { ok, json, fails } = covey;
  const created = await ok(
    "service",
    "create",
    "--name",
    "web",
    "--replicas",
    "2",
    "--label",
    "a=b",
    ...SLEEP,
  );
  assert.match(created, /^[0-9a-z]{25}\n$/, "only the ID goes to standard output");
  assert.match(await ok("service", "ls"), /web +replicated +2\/2 +process:sleep/);
  assert.match(await ok("service", "ps", "web"), /web\.1 .* Running[^]*web\.2 .* Running/);
  const [web] = await json<ServiceView[]>("service", "inspect", "web");
  assert.equal(web?.Spec.TaskTemplate.ProcessSpec?.Command, "/bin/sleep");
  await ok("service", "scale", "web=3");
  assert.match(await ok("service", "ls", "--filter", "name=web"), /3\/3/);
  const update = ["--env-add", "A=b", "--constraint-add", "node.labels.site==attic", "--label-rm", "a"];
  await plans(covey, update);
  await ok("service", "update", ...update, "--update-parallelism", "0", "--update-monitor", "100ms", "web");
  const tasks = await json<TaskView[]>("service", "ps", "--filter", "desired-state=running", "web");
  assert.deepEqual(tasks.map((task) => task.Status.State), ["running", "running", "running"]);
  assert.equal(new Set(tasks.map((task) => task.NodeID)).size, 1, "all of them moved to the attic");
  const [task] = await json<TaskView[]>("task", "inspect", tasks[0]!.ID);
  assert.deepEqual(task?.Spec.ProcessSpec?.Env, ["A=b"]);
  assert.match(await ok("task", "ls", "--filter", "service=web"), /web\.1/);
  assert.match(await ok("node", "ps", "pi"), /web\.3/);
  await fails(5, /update paused due to failure/, "service", "update", "--workdir", "/no/dir", "web");
  await rollouts({ ok, fails });
  const [stopped] = await json<ServiceView[]>("service", "ls", "--no-trunc");
  assert.ok((await ok("service", "ls", "--no-trunc")).includes(stopped!.ID), "the whole ID");
  await ok("service", "rollback", "web");
  assert.equal(
    (await json<ServiceView[]>("service", "inspect", "web"))[0]!.UpdateStatus?.State,
    "rollback_completed",
  );
  const here = await ok("node", "ps", "-q", "--filter", "desired-state=running", "pi");
  assert.equal(here.trim().split("\n").length, 3);
  await fails(1, /service web already exists/, "service", "create", "-d", "--name", "web", ...SLEEP);
  await fails(1, /service nobody not found/, "service", "ps", "nobody");
  await fails(2, /want SERVICE=REPLICAS/, "service", "scale", "web");
  await fails(1, /service nobody not found/, "service", "rm", "nobody", "web");
  assert.deepEqual(await json<ServiceView[]>("service", "ls"), [], "one failure does not keep the others");
}

/** What can be done with an update that is paused. */
async function rollouts({ ok, fails }: Pick<Covey, "ok" | "fails">) {
  assert.match(
    await ok("rollout", "status", "web"),
    /State: +paused .*\nDevices: +0 of 3 done, [123] failed, 0 deferred/,
  );
  await fails(1, /Cannot promote the rollout of web: stage 1 is paused/, "rollout", "promote", "web");
  await fails(5, /update paused due to failure/, "rollout", "retry", "web");
  await ok("rollout", "resume", "--detach", "web");
  await ok("rollout", "abort", "web");
  await fails(1, /it was aborted, which is final/, "rollout", "resume", "web");
}

async function waiting({ ok, fails }: Covey, fleet: Fleet) {
  const never = ["--constraint", "node.labels.site==moon", ...SLEEP];
  const args = ["-H", `unix://${fleet.socket}`, "service", "create", "--name", "patient", ...never];
  const patient = new Program(Deno.execPath(), coveyArgs(args));
  await patient.says(
    /0 out of 1 tasks .*1: pending, no suitable node \(scheduling constraints not satisfied on 2/,
  );
  assert.equal(await patient.end("SIGINT"), 0, patient.output);
  assert.match(patient.output, /Still converging in the background/);
  await shows(/patient .* 0\/1/, "covey", fleet.socket, "service", "ls");
  await ok("node", "update", "--label-add", "site=moon", "pi");
  await shows(/patient .* 1\/1/, "covey", fleet.socket, "service", "ls");
  await ok("service", "create", "-d", "--name", "detached", ...never.with(1, "node.labels.site==mars"));
  const stuck = ["--replicas", "1", "--restart-condition", "none", "--executor", "process", "/no/program"];
  await ok("service", "create", "-d", "--name", "stuck", ...stuck);
  await fails(2, /--replicas as a whole number/, "service", "update", "--replicas", "x", "stuck");
  await ok("service", "rm", "patient", "detached", "stuck");
}

async function failures({ ok, fails }: Covey) {
  await fails(2, /unknown command "bogus"/, "bogus");
  await fails(2, /unknown command 'bogus'/, "node", "bogus");
  await fails(2, /unknown option '--bogus'/, "node", "ls", "--bogus");
  await fails(2, /missing required argument 'service/, "service", "ps");
  await fails(
    3,
    /Cannot connect to a Covey manager at unix:\/\/\/no\/socket: No such file/,
    "-H",
    "unix:///no/socket",
    "node",
    "ls",
  );
  await fails(
    3,
    /Cannot connect to a Covey manager at tcp:\/\/127.0.0.1:9/,
    "-H",
    "tcp://127.0.0.1:9",
    "node",
    "ls",
  );
  await fails(2, /Cannot use --host as an address: current value is "x"/, "-H", "x", "node", "ls");
  for (const args of [["--help"], ["service", "create", "--help"], []]) {
    assert.match(await ok(...args), /Usage: covey/);
  }
  const report = await ok("doctor", "--state-dir", "/no/state", "--join", "attic:2400");
  assert.match(report, /OK +manager .*swarm active \(manager\)/);
  assert.match(report, /--allow-write=\/no\/state\b/);
  assert.match(report, /--allow-net=0\.0\.0\.0\/0:2377,0\.0\.0\.0\/0:2400,attic:2400/);
  await assert.rejects(Deno.stat("/no/state"), Deno.errors.NotFound, "a check makes nothing");
}
