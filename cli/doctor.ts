/** Checks of `covey doctor`: what a device needs, what was found, and what to do about it. */
import { statfsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fetchFailure } from "../api/fetch_failure.ts";
import { formatBytes } from "./units.ts";
import { checkDevice } from "./device_checks.ts";
import { exists } from "./files.ts";
import { SOCKET_ORIGIN } from "../api/socket_origin.ts";

/** One finding. `fail` means that Covey cannot work, `warn` that a part of it cannot. */
export interface Finding {
  check: string;
  level: "ok" | "warn" | "fail";
  found: string;
  remedy?: string;
}

/** Free space below which a device soon cannot write its state. */
const MIN_FREE_BYTES = 200 * 1024 ** 2;
/** Before this the clock was never set: the year this code was written. */
const MIN_CLOCK_MS = Date.UTC(2026, 0, 1);
const AGENT_LAUNCHER = fileURLToPath(new URL("../agent/launch.sh", import.meta.url));

function architecture(): Finding {
  const { arch, os } = Deno.build;
  const good = os === "linux" && (arch === "x86_64" || arch === "aarch64");
  return {
    check: "platform",
    level: good ? "ok" : "fail",
    found: `${os} ${arch}, Deno ${Deno.version.deno}`,
    ...(!good && { remedy: "use 64-bit Linux (arm64 or x64); Deno has no 32-bit ARM build" }),
  };
}

function clock(nowMs: number): Finding {
  const good = nowMs >= MIN_CLOCK_MS;
  return {
    check: "clock",
    level: good ? "ok" : "warn",
    found: new Date(nowMs).toISOString(),
    ...(!good &&
      {
        remedy:
          "the clock was never set: the node takes its managers' time, but logs show wrong times until then",
      }),
  };
}

/** What the device has for limiting processes; `/sys` is closed to Deno programs, so the launcher looks. */
async function cgroups(): Promise<Finding> {
  const [found = "none"] = await launcherSays("--print-cgroups");
  const fallback = "memory limits of processes fall back to ulimit";
  return {
    check: "cgroups",
    level: found.endsWith("memory") ? "ok" : "warn",
    found,
    ...(found === "none" && { remedy: fallback }),
    ...(found === "v2" &&
      {
        remedy: `add cgroup_enable=memory to the kernel's command line (cmdline.txt); until then ${fallback}`,
      }),
  };
}

async function tool(name: string, why: string): Promise<Finding> {
  const folders = (Deno.env.get("PATH") ?? "/usr/bin:/bin").split(":");
  for (const folder of folders) {
    if (await exists(`${folder}/${name}`)) return { check: name, level: "ok", found: `${folder}/${name}` };
  }
  return { check: name, level: "warn", found: "not in PATH", remedy: `${why}; install util-linux` };
}

async function docker(socket: string): Promise<Finding> {
  if (socket === "none") return { check: "docker", level: "ok", found: "not used: --docker none" };
  const http = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  try {
    const response = await fetch(`${SOCKET_ORIGIN}/version`, {
      client: http,
      signal: AbortSignal.timeout(3000),
    });
    const { Version } = await response.json() as { Version: string };
    return { check: "docker", level: "ok", found: `Engine ${Version} at ${socket}` };
  } catch (thrown) {
    return {
      check: "docker",
      level: "warn",
      found: `no engine at ${socket}: ${fetchFailure(thrown)}`,
      remedy: "containers cannot run here; processes can",
    };
  } finally {
    http.close();
  }
}

function disk(folder: string): Finding {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  return {
    check: "disk",
    level: free >= MIN_FREE_BYTES ? "ok" : "fail",
    found: `${formatBytes(free)} free at ${folder}`,
    ...(free < MIN_FREE_BYTES && { remedy: `free at least ${formatBytes(MIN_FREE_BYTES)}` }),
  };
}

/** The Deno permissions that an agent gets with `flags`, as its launcher computes them; one per line. */
export function agentSandbox(flags: string[]): Promise<string[]> {
  return launcherSays("--print-permissions", ...flags);
}

/** The lines that the agent's launcher prints. */
async function launcherSays(...args: string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command(AGENT_LAUNCHER, { args, stderr: "inherit" }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

/** Has the node of a state folder leave its cluster; what it says goes to standard error. Resolves with its exit code. */
export async function leaveCluster(stateDir: string): Promise<number> {
  const { code } = await new Deno.Command(AGENT_LAUNCHER, {
    args: ["--leave", "--state-dir", stateDir],
    env: { COVEY_DENO: Deno.execPath() },
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  return code;
}

/** Runs every local check. */
export async function diagnose(
  options: { dockerSocket: string; stateDir: string; join: readonly string[]; nowMs: number },
): Promise<Finding[]> {
  return [
    architecture(),
    clock(options.nowMs),
    await cgroups(),
    await tool("setsid", "tasks need a session of their own"),
    await tool("setpriv", "processes cannot run as another user"),
    await docker(options.dockerSocket),
    disk(await exists(options.stateDir) ? options.stateDir : "/"),
    ...await checkDevice({ ...options, launcherSays }),
  ];
}
