/** The examples in the docstrings of what `mod.ts` exports are type-checked and run. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** The tree's own settings, but for names that nobody uses: an example is imported all that its file exports. */
async function exampleConfig(folder: string): Promise<string> {
  const config = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  Object.assign(config.compilerOptions, { noUnusedLocals: false, noUnusedParameters: false });
  const { compilerOptions, imports, unstable, nodeModulesDir } = config;
  const path = join(folder, "deno.json");
  await Deno.writeTextFile(path, JSON.stringify({ compilerOptions, imports, unstable, nodeModulesDir }));
  return path;
}

Deno.test("Examples: those of every public symbol are type-checked and run", async () => {
  const face = await Deno.readTextFile(join(ROOT, "mod.ts"));
  const files = [...face.matchAll(/from "\.\/([^"]+)"/g)].map(([, path]) => join(ROOT, path!));
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(file)));
  const examples = texts.join("\n").split("\n * ```ts\n").length - 1;
  const folder = await Deno.makeTempDir({ prefix: "covey-examples-" });
  try {
    const config = await exampleConfig(folder);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--doc", "--no-lock", "--allow-all", "--config", config, ...files],
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.ok(success, said);
    assert.match(said, new RegExp(`ok \\| ${examples} passed \\| 0 failed`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
