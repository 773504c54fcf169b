/** Variables from the command line to the programs, with a real manager and real agents. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { runningTasks, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { eventually, run } from "../support/programs.ts";

async function ok(fleet: Fleet, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("covey", fleet.socket, ...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

const folderOf = (fleet: Fleet) => fleet.socket.replace(/\/[^/]*$/, "");

/** What the service's program says on each device. */
async function saidBy(fleet: Fleet, service: string): Promise<Record<string, string>> {
  const nodes = await fleet.client.get<{ ID: string; Description: { Hostname: string } }[]>("/nodes");
  const said: Record<string, string> = {};
  for (const { ID, NodeID } of await runningTasks(fleet, service)) {
    const name = nodes.find((each) => each.ID === NodeID)!.Description.Hostname;
    const log = await Deno.readTextFile(`${folderOf(fleet)}/${name}/process/logs/${ID}.log`).catch(() => "");
    said[name] = log.trim();
  }
  return said;
}

Deno.test("Variables: each device's program has its own, in an argument, a variable and a config; a change reaches it", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("attic");
    await fleet.startAgent("barn");
    for (const name of ["attic", "barn"]) await waitNode(fleet, name, "ready");
    const file = await Deno.makeTempFile({ prefix: "covey-variables-" });
    await Deno.writeTextFile(file, '{{.Var.broker}} {{env "PORT"}}');
    await ok(fleet, "config", "create", "--template-driver", "golang", "settings", file);
    await Deno.remove(file);
    const service = [
      "--name",
      "app",
      "--mode",
      "global",
      "--executor",
      "process",
      "--env",
      "PORT={{.Var.port}}",
    ];
    const script = 'echo "$1 $PORT $(cat "$COVEY_CONFIGS_DIR/settings")"; exec sleep 100000';
    const create = ["service", "create", "-d", ...service, "--config", "settings"];
    const refused = await run(
      "covey",
      fleet.socket,
      ...create,
      "/bin/sh",
      "-c",
      script,
      "sh",
      "{{.Var.port}}",
    );
    assert.match(refused.stderr, /variable port not found.*variable broker not found/s);
    await ok(fleet, "var", "set", "port=80", "broker=main");
    await ok(fleet, "node", "update", "--label-add", "site=Attic", "attic");
    await ok(fleet, "var", "set", "--site", "attic", "broker=up");
    await ok(fleet, "var", "set", "--node", "barn", "port=81");
    await ok(fleet, ...create, "--update-parallelism", "0", "/bin/sh", "-c", script, "sh", "{{.Var.port}}");
    const { ID } = await fleet.client.get<{ ID: string }>("/services/app");
    await waitRunning(fleet, ID, 2);
    const says = (wanted: Record<string, string>) =>
      eventually(
        JSON.stringify(wanted),
        async () =>
          JSON.stringify(Object.entries(await saidBy(fleet, ID)).sort()) ===
            JSON.stringify(Object.entries(wanted)),
      );
    await says({ attic: "80 80 up 80", barn: "81 81 main 81" });
    assert.match(
      await ok(fleet, "var", "ls"),
      /broker +fleet +main[^]*broker +site\/attic +up[^]*port +node\/barn +81/,
    );
    assert.match(
      await ok(fleet, "var", "ls", "--node", "attic"),
      /broker +site\/attic +up\nport +fleet +80\n$/,
    );
    assert.equal(await ok(fleet, "var", "set", "broker=other"), "app is being updated\n");
    await says({ attic: "80 80 up 80", barn: "81 81 other 81" });
    await ok(fleet, "var", "rm", "--site", "attic", "broker");
    await says({ attic: "80 80 other 80", barn: "81 81 other 81" });
    for (
      const [args, reason] of [
        [["rm", "broker"], /in use by the following service: app/],
        [["set", "--node", "attic", "--site", "x", "a=b"], /variables have one scope/],
        [["set", "a-b=c"], /letters, digits and _/],
      ] as const
    ) {
      const { code, stderr } = await run("covey", fleet.socket, "var", ...args);
      assert.notEqual(code, 0);
      assert.match(stderr, reason);
    }
  }));
