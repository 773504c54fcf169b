/** Entry point of `deno task bench`: one benchmark by name, or the list of them. */
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const NOT_PROGRAMS = ["main", "figures"];

const names = [...Deno.readDirSync(folder)]
  .filter((entry) => entry.isFile && entry.name.endsWith(".ts"))
  .map((entry) => entry.name.slice(0, -".ts".length))
  .filter((name) => !NOT_PROGRAMS.includes(name))
  .sort();

const [name, ...args] = Deno.args;
if (name === undefined || !names.includes(name)) {
  console.error(`Usage: deno task bench NAME [arguments]\n\nBenchmarks: ${names.join(", ")}\n`);
  Deno.exit(2);
}
const program = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--unstable-kv", `${folder}${name}.ts`, ...args],
});
Deno.exit((await program.spawn().status).code);
