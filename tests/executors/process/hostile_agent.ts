/** Talks to the shim as an agent would that somebody took over: with whatever it likes to send. */
import type { ProcessSpec } from "../../../api/service.ts";
import { dirname } from "node:path";
import { defaultShim } from "../../../executors/default_shim.ts";

/** The part of the shim that takes requests, to be run by a shell of the test's choice. */
export const SERVER = defaultShim().replace("shim.sh", "shim_server.sh");
export const SEPARATOR = "\x1f", NEWLINE = "\x1e";

/** One request to run `command`; `options` are as the shim takes them, in its order. */
export interface RawRun {
  id: string;
  command: string;
  args?: string[];
  variables?: string[];
  user?: string;
  memory?: string;
  grants?: string;
  closed?: string;
  devices?: string;
  node?: string;
}

/** The lines of a request that no agent of ours would send. */
export function runLines(
  { id, command, args = [], variables = [], user = "", memory = "", grants = "", closed = "", ...more }:
    RawRun,
): string {
  const line = (texts: string[]) => texts.map((text) => text + SEPARATOR).join("");
  const { devices = "", node = "" } = more;
  const options = ["/usr/bin:/bin", user, "", "", memory, "", "", closed, devices, node, command, grants];
  const head = `run 1 ${id} ${SEPARATOR} ${NEWLINE}`;
  return [head, line(options), line(variables), line(args), ""].join("\n");
}

/** A state folder with what the executor makes for task `t`. */
export async function stateFolder(): Promise<string> {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-hostile-" });
  for (const dir of ["tasks", "tasks/t", "runs", "logs"]) await Deno.mkdir(`${stateDir}/${dir}`);
  return stateDir;
}

/** What the server answers to `input`, once it and all that it started have ended. */
export async function ask(
  stateDir: string,
  input: string,
  shell = "/bin/sh",
  server = SERVER,
): Promise<string> {
  const child = new Deno.Command(shell, {
    args: [server, "serve", stateDir],
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  return new TextDecoder().decode((await child.output()).stdout);
}

/** Boot, pid and start time of a process, as the shim writes them. */
export async function recordLine(pid: number): Promise<string> {
  const boot = (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  return `${boot} ${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
}

/** The files of the shim, copied into `folder` with `change` made to each text; its entry that every shell can run. */
export async function copyShim(
  folder: string,
  change: (text: string) => string = (text) => text,
): Promise<string> {
  for (
    const name of [
      "shim.sh",
      "shim_clean.sh",
      "shim_server.sh",
      "shim_rules.sh",
      "shim_closed.sh",
      "shim_space.sh",
      "shim_deno.sh",
      "shim_measure.sh",
      "shim_memory.sh",
      "shim_facts.sh",
      "shim_container.sh",
      "shim_enter.sh",
      "shim_connect.sh",
    ]
  ) {
    const text = await Deno.readTextFile(`${dirname(defaultShim())}/${name}`);
    await Deno.writeTextFile(`${folder}/${name}`, change(text));
    await Deno.chmod(`${folder}/${name}`, 0o755);
  }
  return `${folder}/shim.sh`;
}

/** A shim in `folder` that runs `entry` where /bin/sh is bash, as on many devices, as `uid`; needs root. */
export async function shimWithBash(folder: string, entry: string, uid = 0): Promise<string> {
  const path = `${folder}/bash-${uid}.sh`;
  const drop = `setpriv --reuid ${uid} --regid ${uid} --clear-groups --`;
  const inside = `mount --bind "$0" "$(readlink -f /bin/sh)" && exec ${drop} ${entry} "$@"`;
  const text = `#!/bin/sh\nexec unshare -m /bin/sh -c '${inside}' "$(command -v bash)" "$@"\n`;
  await Deno.writeTextFile(path, text, { mode: 0o755 });
  return path;
}

/** A program of a task that says on its standard output all that it says. */
export const shell = (script: string, more: Partial<ProcessSpec> = {}): ProcessSpec => ({
  Command: "sh",
  Args: ["-c", `exec 2>&1; ${script}`],
  ...more,
});
