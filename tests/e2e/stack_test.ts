/** Compose files, deployed by `covey stack` and by the stock client. */
import assert from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import { allTasks, withFleet } from "../support/e2e.ts";
import { withManager } from "../support/one_manager.ts";
import { ROOT, run } from "../support/programs.ts";

const FOLDER = `${ROOT}tests/e2e/stacks`;

Deno.test("covey stack: a plan after the stock client's deployment of the same file finds nothing to change", () =>
  withManager(async ({ socket }) => {
    const file = `${FOLDER}/containers.yml`;
    const docker = await run(
      "docker",
      socket,
      "stack",
      "deploy",
      "--resolve-image",
      "never",
      "-c",
      file,
      "shop",
    );
    assert.equal(docker.code, 0, docker.stderr);
    const before = await run("covey", socket, "service", "inspect", "shop_web", "shop_each", "shop_once");
    const plan = await run("covey", socket, "stack", "plan", "-c", file, "shop");
    assert.deepEqual([plan.code, plan.stdout], [
      0,
      "Nothing to change in shop: 3 services are as the files say\n",
    ]);
    const again = await run("covey", socket, "stack", "deploy", "-c", file, "shop");
    assert.deepEqual([again.code, again.stdout], [0, "Nothing to change in shop\n"], again.stderr);
    const after = await run("covey", socket, "service", "inspect", "shop_web", "shop_each", "shop_once");
    assert.equal(after.stdout, before.stdout, "nothing was written");

    const listed = await run("covey", socket, "stack", "ls");
    assert.match(listed.stdout, /^NAME +SERVICES\nshop +3\n$/);
    const removed = await run("covey", socket, "stack", "rm", "shop");
    assert.deepEqual([removed.code, removed.stdout.split("\n").length - 1], [0, 5], removed.stderr);
    assert.match(
      (await run("docker", socket, "stack", "ls")).stdout,
      /^NAME +SERVICES(?: +ORCHESTRATOR)?\n$/,
    );
    assert.equal((await run("covey", socket, "stack", "rm", "shop")).code, 1);
  }));

Deno.test("covey stack: processes are deployed, changed and left alone, and the plan says which before", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("boss");
    const file = `${FOLDER}/processes.yml`;
    const stack = async (code: number, ...args: string[]) => {
      const answer = await run("covey", fleet.socket, "stack", ...args);
      assert.equal(answer.code, code, answer.stdout + answer.stderr);
      return answer.stdout;
    };
    const living = async () =>
      (await allTasks(fleet)).filter(({ DesiredState, Status }: TaskView) =>
        DesiredState === "running" && Status.State === "running"
      ).map(({ ID }) => ID).sort();
    assert.match(
      await stack(2, "plan", "-c", file, "farm"),
      /3 to create, 0 to change, 0 to remove, 0 unchanged/,
    );
    await stack(0, "deploy", "-c", file, "farm");
    const first = await living();
    assert.equal(first.length, 3);
    await stack(0, "deploy", "-c", file, "farm");
    assert.deepEqual(await living(), first, "deployed twice, nothing restarts");

    const later = await Deno.makeTempFile({ suffix: ".yml" });
    try {
      await Deno.writeTextFile(later, "services: {clock: {environment: {MODE: quick}}}\n");
      const plan = await stack(2, "plan", "-c", file, "-c", later, "farm");
      assert.match(
        plan,
        /~ service farm_clock: its tasks are replaced\n.*Env: \["MODE=slow"\] -> \["MODE=quick"\]/,
      );
      await stack(0, "deploy", "-c", file, "-c", later, "farm");
    } finally {
      await Deno.remove(later);
    }
    const second = await living();
    assert.equal(second.length, 3);
    assert.equal(second.filter((id) => first.includes(id)).length, 2, "the other service was left alone");
    assert.match(await stack(0, "ps", "farm"), /farm_sleeper\.2/);
    assert.match(await stack(0, "services", "farm"), /farm_clock +global +1\/1/);
    await stack(0, "rm", "farm");
  }));

Deno.test("covey stack: a file that is not there, a name that is none and a file with mistakes are refused before anything is done", () =>
  withManager(async ({ socket, folder }) => {
    const file = `${folder}/bad.yml`;
    await Deno.writeTextFile(file, "services:\n  web: {imag: busybox}\n");
    const refusals: [string[], RegExp][] = [
      [["-c", `${folder}/none.yml`, "s"], /Cannot read .*none\.yml: No such file/],
      [["-c", file, "s"], /bad\.yml:2: services\.web\.imag: is no key that is known here/],
      [["-c", file, "a b"], /Cannot use "a b" as the name of a stack/],
      [["s"], /want -c FILE/],
    ];
    for (const [args, reason] of refusals) {
      const { code, stderr } = await run("covey", socket, "stack", "deploy", ...args);
      assert.match(stderr, reason);
      assert.ok(code === 1 || code === 2, stderr);
    }
    assert.match((await run("covey", socket, "stack", "ls")).stdout, /^NAME +SERVICES\n$/);
  }));
