/** The demo, run as a newcomer runs it: it ends well, or is interrupted, and leaves nothing behind either way. */
import assert from "node:assert/strict";
import { demoArgs, Program } from "../support/programs.ts";

function startDemo(...flags: string[]): Program {
  return new Program(Deno.execPath(), demoArgs(["--docker", "none", ...flags]));
}

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

async function folderOf(demo: Program): Promise<string> {
  await demo.says(/unix:\/\/\S+\/covey\.sock/);
  return /unix:\/\/(\S+)\/covey\.sock/.exec(demo.output)![1]!;
}

async function assertGone(folder: string): Promise<void> {
  assert.deepEqual(await processesOf(folder), []);
  await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
}

Deno.test("Demo: with --exit it ends with 0 once all has converged, and leaves nothing behind", async () => {
  const demo = startDemo("--exit");
  assert.equal(await demo.ends(), 0, demo.output);
  assert.match(demo.output, /overall progress: 4 out of 4 tasks/);
  assert.match(demo.output, /Service converged[^]*covey -H unix:\S+ node ls[^]*nothing is left behind/);
  await assertGone(await folderOf(demo));
});

Deno.test("Demo: Ctrl-C while it runs removes processes, tasks and folder", async () => {
  const demo = startDemo();
  await demo.says(/Press Ctrl-C/);
  const folder = await folderOf(demo);
  assert.ok(
    (await processesOf(folder)).length >= 8,
    "a manager with its agent, three agents, a task on each",
  );
  assert.equal(await demo.end("SIGINT"), 0, demo.output);
  await assertGone(folder);
});

for (
  const [when, line] of [["the manager", /Starting a manager/], [
    "the agents",
    /Starting 3 device agents/,
  ]] as const
) {
  Deno.test(`Demo: Ctrl-C while it starts ${when} removes everything too`, async () => {
    const before = new Set(await demoFolders());
    const demo = startDemo();
    await demo.says(line);
    await demo.end("SIGINT");
    for (const folder of await demoFolders()) {
      if (!before.has(folder)) assert.deepEqual([folder, await processesOf(folder)], [], demo.output);
    }
  });
}

Deno.test("Demo: a wrong flag is named, and nothing starts", async () => {
  const demo = startDemo("--bogus");
  assert.notEqual(await demo.ends(), 0);
  assert.match(demo.output, /demo: .*Unknown option '--bogus'/);
  assert.doesNotMatch(demo.output, /Uncaught|\n {4}at /);
});

async function demoFolders(): Promise<string[]> {
  const parent = (await Deno.makeTempDir()).replace(/\/[^/]*$/, "");
  const found: string[] = [];
  for await (const { name } of Deno.readDir(parent)) {
    if (name.startsWith("covey-demo-")) found.push(`${parent}/${name}`);
  }
  return found;
}
