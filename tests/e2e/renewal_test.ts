/** An installed agent that has grown ends and is started again, at a test's size of its limits. */
import assert from "node:assert/strict";
import { BareDevice } from "../support/bare_device.ts";
import { makeBundle } from "../support/bundle.ts";
import { pass } from "../support/idle_agent.ts";
import { joinToken, startManager } from "../support/one_manager.ts";
import { freePort, inFolder, run, shows } from "../support/programs.ts";

/** Any growth at all, soon after the start: what tasks take that are started later is enough. */
const SOON = "--renew-percent 0.01 --renew-after 7";
const LOG = "/var/log/covey-agent.log", RENEWED = "Ending to be started again";
/** The programs of the tasks, by number. */
const TASKS = "ps -o pid,args | awk '/[s]leep [12]00000/ { print $1 }'";
/** By then the agent has seen what its memory is compared with, 4 s after its start. */
const FIRST_LOOK_MS = 8_000;
/** Tasks that come later, which take more than that. */
const MORE = 25;
/** How often it has connected. */
const CONNECTED = `grep -c 'is connected' ${LOG}`;

Deno.test("Renewal: an installed agent that has grown is started anew by itself, and every task goes on as the process that it was", () =>
  inFolder(async (folder) => {
    const bundle = await makeBundle(`${folder}/dist`, "--deno", "none");
    const address = `127.0.0.1:${freePort()}`, socket = `${folder}/m/covey.sock`;
    const manager = startManager(folder, "m", "--listen", address, "--advertise", address);
    const device = await BareDevice.make(`${folder}/d`, "pi");
    await Deno.copyFile(Deno.execPath(), `${folder}/d/bin/deno`);
    await Deno.copyFile(bundle, `${folder}/d/bundle.tar.gz`);
    const create = (name: string, ...flags: string[]) =>
      run(
        "covey",
        socket,
        "service",
        "create",
        "--detach",
        "--name",
        name,
        "--executor",
        "process",
        ...flags,
      );
    const agent = "/opt/covey/current/agent/launch.sh --state-dir /var/lib/covey --print-running";
    try {
      await manager.says(/serves at/);
      await device.switchOn();
      await device.run("tar -xzf /bundle.tar.gz -C /tmp");
      const token = await joinToken(socket), install = "sh /tmp/covey/install.sh --docker none";
      const said = await device.run(`COVEY_JOIN_TOKEN=${token} ${install} --join ${address} ${SOON}`);
      assert.match(said, /this device is connected/);
      const first = await device.run(agent);
      assert.equal((await create("hello", "--mode", "global", "sleep", "100000")).code, 0);
      await pass(FIRST_LOOK_MS);
      assert.equal((await create("more", "--replicas", `${MORE}`, "sleep", "200000")).code, 0);
      await device.shows(new RegExp(`^(\\d+\n){${MORE + 1}}$`), TASKS);
      const tasks = await device.run(TASKS);
      await device.shows(
        new RegExp(`${RENEWED}, tasks go on: \\d+ kB of memory, \\d+ at first`),
        `cat ${LOG}`,
      );
      await device.shows(/^([2-9]|\d\d+)\n$/, CONNECTED);
      await device.shows(new RegExp(`^(?!${first.trim()}\n)\\d+\n$`), agent);
      await shows(/ pi +Ready /, "covey", socket, "node", "ls");
      await shows(/ pi +Running +Running /, "covey", socket, "service", "ps", "hello");
      assert.equal(await device.run(TASKS), tasks);
      for (const [name, count] of [["hello", 1], ["more", MORE]] as const) {
        const { stdout } = await run("covey", socket, "service", "ps", name);
        assert.equal(stdout.match(/ pi +Running +Running /g)?.length, count, stdout);
        assert.equal(stdout.trim().split("\n").length, count + 1, "no task was replaced");
      }
    } finally {
      await device.cutPower();
      await manager.end("SIGKILL");
    }
  }));
