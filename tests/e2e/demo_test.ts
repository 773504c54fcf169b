/** The demo, run as a newcomer runs it: it ends well, or is interrupted, and leaves nothing behind either way. */
import assert from "node:assert/strict";
import { demoArgs, inFolder, Program, shows } from "../support/programs.ts";

/** Processes that name `folder` in their command line: managers, agents, shims. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (line.includes(folder)) found.push(line.replaceAll("\0", " "));
  }
  return found;
}

/** Runs a demo whose temporary files are all in one folder, and checks that nothing is left there or runs from it. */
function withDemo(flags: string[], test: (demo: Program, folder: string) => Promise<unknown>): Promise<void> {
  return inFolder(async (folder) => {
    const demo = new Program(Deno.execPath(), demoArgs(["--docker", "none", ...flags]), { TMPDIR: folder });
    await test(demo, folder);
    await demo.ends();
    assert.doesNotMatch(demo.output, /Uncaught|\n {4}at /);
    assert.deepEqual(await processesOf(folder), [], demo.output);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), [], demo.output);
  });
}

Deno.test("Demo: with --exit it ends with 0 once all has converged, and leaves nothing behind", () =>
  withDemo(["--exit"], async (demo) => {
    assert.equal(await demo.ends(), 0, demo.output);
    assert.match(demo.output, /6 out of 6 tasks\nService converged[^]*nothing is left behind/);
  }));

Deno.test("Demo: it says what to type next; Ctrl-C then removes processes, tasks and folder", () =>
  withDemo([], async (demo, folder) => {
    await demo.says(/covey -H unix:\S+covey.sock node ls[^]*Press Ctrl-C/);
    assert.ok(
      (await processesOf(folder)).length >= 15,
      "three managers with their agents, three agents, a task on each",
    );
    const [, pid, socket] = /kill -9 (\d+)\n.* -H unix:\/\/(\S+) node ls/.exec(demo.output)!;
    Deno.kill(Number(pid), "SIGKILL");
    await shows(/manager-1 .* Unreachable .*\n(.*\n)*.* Leader /, "covey", socket!, "node", "ls");
    assert.equal(await demo.end("SIGINT"), 0, demo.output);
  }));

const MOMENTS: [string, RegExp][] = [
  ["the manager starts", /Starting 3 managers/],
  ["the other managers join", /manager-1 serves/],
  ["the agents start", /Starting 3 device agents/],
  ["the service converges", /Creating the global service/],
];
for (const [moment, line] of MOMENTS) {
  Deno.test(`Demo: Ctrl-C while ${moment} removes everything too`, () =>
    withDemo([], async (demo) => {
      await demo.says(line);
      assert.equal(await demo.end("SIGINT"), 0, demo.output);
    }));
}

Deno.test("Demo: a wrong flag is named, and nothing starts", () =>
  withDemo(["--bogus"], async (demo) => {
    assert.equal(await demo.ends(), 2);
    assert.match(demo.output, /^demo: Unknown option '--bogus'/);
  }));

Deno.test("Demo: a number of managers that makes no quorum is refused", () =>
  withDemo(["--managers", "2"], async (demo) => {
    assert.equal(await demo.ends(), 2);
    assert.match(demo.output, /^demo: Cannot start 2 managers: it must be 1, 3, 5 or 7/);
  }));
