/**
 * A job that a device runs by the clock, with real processes: through an agent that is killed again and again, without a
 * manager, each time at most once. Each run works in a folder of its own, by whose name it is told apart.
 */
import assert from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import { waitNode, withFleet } from "../support/e2e.ts";
import { inFolder, run } from "../support/programs.ts";

/** How often the agent is killed. */
const KILLS = 4;

async function lines(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

Deno.test("E2E: a scheduled job runs each time at most once, whoever is killed or away, and its results are shown", () =>
  inFolder((folder) =>
    withFleet({ docker: "none" }, async (fleet) => {
      await fleet.startManager("manager", ["--no-agent"]);
      await fleet.startAgent("pi");
      await waitNode(fleet, "pi", "ready");
      const ran = `${folder}/ran`;
      const flags = ["--executor", "process", "--user", `${Deno.uid()}:${Deno.gid()}`, "--quiet"];
      const every = ["--mode", "global-job", "--label", "covey.cron.schedule=*/2 * * * * *"];
      const script = `pwd >>${ran}`;
      const name = ["--name", "beat"];
      const made = await run(
        "covey",
        fleet.socket,
        ...["service", "create", ...name, ...flags, ...every, "/bin/sh", "-c", script],
      );
      assert.equal(made.code, 0, made.stderr);
      await fleet.waitUntil("it ran", async () => (await lines(ran)).length >= 1);

      await fleet.end("manager", "SIGKILL");
      for (let kill = 0; kill < KILLS; kill++) {
        const before = (await lines(ran)).length;
        await fleet.end("pi", "SIGKILL");
        await fleet.restart("pi");
        await fleet.waitUntil("it ran again", async () => (await lines(ran)).length > before);
      }
      const offline = (await lines(ran)).length;
      await fleet.restart("manager");

      let told: TaskView[] = [];
      await fleet.waitUntil("the manager has heard of it", async () => {
        told = await fleet.client.get<TaskView[]>("/tasks", { filters: { service: ["beat"] } }).catch(() =>
          told
        );
        return (told[0]?.Status.Runs?.length ?? 0) > Math.min(offline, 5);
      });
      const folders = await lines(ran);
      assert.equal(new Set(folders).size, folders.length, "no time was run twice");
      const { ID, Status: { Runs = [] } } = told[0]!;
      for (const { Scheduled, State } of Runs) {
        const own = `${ID}${Math.floor(Date.parse(Scheduled) / 1000).toString(36)}`;
        const has = folders.some((each) => each.endsWith(own));
        if (State === "complete") assert.ok(has, `${Scheduled} is told of as complete, and left nothing`);
        if (State === "skipped" || State === "missed") assert.ok(!has, `${Scheduled} is ${State}, and ran`);
      }
      assert.ok(Runs.some(({ State }) => State === "complete"));

      const shown = await run("covey", fleet.socket, "service", "ps", "beat");
      assert.match(shown.stdout, /RUN OF +NODE +STATE +EXIT CODE/);
      assert.match(shown.stdout, /:\d\d\.000Z +pi +Complete +0 /);
      for (const words of [["ps", "beat"], ["ls"], ["inspect", "beat"]]) {
        const stock = await run("docker", fleet.socket, "service", ...words);
        assert.equal(stock.code, 0, stock.stderr);
      }
      assert.match((await run("docker", fleet.socket, "service", "ls")).stdout, /beat +global job +1\/1/);
    })
  ));
