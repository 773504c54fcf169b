/** Runs "agent/link.ts" as `launch.sh` does, and on modules made up here. */
import assert from "node:assert/strict";
import { linkModules } from "../../agent/link.ts";
import { squeeze } from "../../agent/squeeze.ts";
import { LAUNCHER } from "./support/agent_process.ts";

/** Links modules by their paths and runs the outcome; what the entry gives to `say`. */
async function run(modules: Record<string, string>): Promise<unknown> {
  const read = (path: string) => modules[path] ?? assert.fail(`no module ${path}`);
  const said: unknown[] = [];
  Object.assign(globalThis, { say: (value: unknown) => said.push(value) });
  await import(`data:text/javascript,${encodeURIComponent(linkModules("/main.ts", read))}`);
  Reflect.deleteProperty(globalThis, "say");
  return said;
}

function refuses(modules: Record<string, string>, message: RegExp): Promise<void> {
  return assert.rejects(() => run(modules), { code: "unimplemented", message });
}

Deno.test("Link: modules see what they import, under the names they give it, and run once", async () => {
  const said = await run({
    "/main.ts": `
import tls from "node:tls";
import { join as path } from "node:path";
import { type A, one, two as zwei } from "./lib/a.ts";
import { Three, four } from "./lib/all.ts";
import type { Nothing } from "./nowhere.ts";
const m0 = await Promise.resolve("own name");
const a: A = { a: one };
say([m0, path("x", "y"), typeof tls.connect, a, zwei(), new Three().three, four]);
`,
    "/lib/a.ts": `
import { four } from "./b.ts";
export interface A { a: number }
export const one = 1;
export async function* many(): AsyncGenerator<number> { yield four; }
export function two(): number { return one + 1; }
`,
    "/lib/all.ts": `export { four, type Late, Three } from "./b.ts";`,
    "/lib/b.ts":
      `say("b runs");\nclass Drei { three = 3; }\nconst four = 4;\nexport { Drei as Three, four };`,
  });
  assert.deepEqual(said, ["b runs", ["own name", "x/y", "function", { a: 1 }, 2, 3, 4]]);
});

Deno.test("Link: a module imported later runs then, and knows where its source is", async () => {
  const said = await run({
    "/main.ts": `say("first");\nconst { where } = await import("./late.ts");\nsay(where);`,
    "/late.ts": `say("late");\nexport const where = import.meta.url;`,
  });
  assert.deepEqual(said, ["first", "late", "file:///late.ts"]);
});

Deno.test("Link: what it does not know it refuses, so that the modules run as they are", async () => {
  await refuses({ "/main.ts": `import { z } from "zod";\nz();` }, /imports the package zod/);
  await refuses(
    { "/main.ts": `import * as a from "./a.ts";\na;`, "/a.ts": "" },
    /it has the line import \* as a/,
  );
  await refuses({ "/main.ts": `export default 1;` }, /it has the line export default 1/);
  await refuses(
    { "/main.ts": `import { b } from "./a.ts";\nb;`, "/a.ts": "export const a = 1, b = 2;" },
    /imports b,/,
  );
  const circle = { "/a.ts": `import { b } from "./b.ts";\nb;`, "/b.ts": `import { a } from "./a.ts";\na;` };
  await refuses({ "/main.ts": `import { a } from "./a.ts";\na;`, ...circle }, /in a circle/);
});

Deno.test("Squeeze: takes out comments and blanks, and nothing that counts", () => {
  const code = [
    "/** what */ const a = 1; // why",
    "",
    "  const text = \"// no 'comment\" + '/* nor \\' this */';",
    '  const template = `  // stays\n\n    ${ [1, 2].map((x) => { return `${x} /* too */`; }).join(" ") } \\` \\${ ${"}"} $`;',
    "  const half = (a + 9) / 2 / text.length; /* one",
    "  two */ const is = /[/`\"]\\/\\*/g.test('/`\"/*');",
    "  let i = 0",
    "  i++",
    "  return [a, text, template, half, is, i, typeof /x/, a /* b */ / 2]",
  ].join("\n");
  const squeezed = squeeze(code);
  assert.deepEqual(new Function(squeezed)(), new Function(code)());
  assert.doesNotMatch(squeezed, /what|why|two \*|; \n\n|\n let/);
  assert.equal(squeeze("a  =\n\n   b;  // c\n\n"), "a =\nb;\n");
});

Deno.test("Squeeze: a slash that only a parser understands is refused", () => {
  assert.throws(() => squeeze("a();\nif (a) {}\n/x/.test(a);"), { code: "unimplemented", message: /line 3/ });
  assert.throws(() => squeeze("`never ended"), { code: "unimplemented" });
});

Deno.test("launch.sh: runs its modules as one file, made anew when it is damaged, but not beside others' executors", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" }),
    file = `${stateDir}/program/agent.js`;
  const help = async (...flags: string[]) => {
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: [LAUNCHER, "--state-dir", stateDir, "--docker", "none", "--help", ...flags],
      env: { COVEY_DENO: Deno.execPath(), NO_COLOR: "1" },
    }).output();
    const texts = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.match(texts[0]!, /^Usage: run-agent/);
    assert.equal(texts[1], "");
  };
  await help("--executor", "/no/such.ts");
  await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
  await help();
  const made = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, made.slice(0, 1000));
  await help();
  assert.equal(await Deno.readTextFile(file), made);
  const before = (await Deno.stat(file)).ino;
  await help();
  assert.equal((await Deno.stat(file)).ino, before, "what is right already is not written again");
  await Deno.remove(stateDir, { recursive: true });
});
