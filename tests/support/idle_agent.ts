/** A real agent with idle tasks, and what the kernel says of it: memory, processor time, writes to files (Linux only). */
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { runService, waitRunning, withFleet } from "./e2e.ts";
import { NO_ENGINE, TEST_ENGINE } from "./test_engine.ts";

/** What the agent runs. */
export const IDLE_TASKS = 10;
/** An agent that has written nothing for so long has nothing left to write down. */
const QUIET_MS = 3000;
/** Longest wait for that. */
const QUIET_LIMIT_MS = 60_000;
/** Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;
/** Calls that change a file or a folder. */
const WRITING_CALLS =
  "write,writev,pwrite64,pwritev,pwritev2,sendfile,copy_file_range,splice,fsync,fdatasync," +
  "sync_file_range,msync,truncate,ftruncate,fallocate,/rename,/unlink,/mkdir,/link,/utime,/chmod";
/** strace's mark of a descriptor that is no file: a socket, a pipe, an eventfd; what is in /proc or /dev is no disk. */
const NO_FILE = /^\w+\(\d+<(?!\/(?!proc|dev))/;

const AGENT = "device";

/** The engine that the agent talks to beside its ten processes, as by default on a device with Docker; else `none`. */
export const IDLE_ENGINE = NO_ENGINE ? "none" : TEST_ENGINE;

/** An agent on a cluster of its own. */
export interface IdleAgent {
  pid(): number;
  /** Kills the agent and starts it again: it takes up its tasks. */
  restart(): Promise<void>;
}

function sleepers(): ServiceSpec {
  return {
    Name: "sleepers",
    Labels: {},
    TaskTemplate: {
      Runtime: "process",
      ForceUpdate: 0,
      ProcessSpec: { Command: "/bin/sleep", Args: ["100000"], StopGracePeriod: 1e9 },
    },
    Mode: { Replicated: { Replicas: IDLE_TASKS } },
  };
}

/** Calls `use` when a new agent runs its tasks and has come to rest. `docker`: its engine's socket, or `none`. */
export function withIdleAgent(docker: string, use: (agent: IdleAgent) => Promise<void>): Promise<void> {
  return withFleet({ docker }, async (fleet: Fleet) => {
    await fleet.startManager("manager-1", ["--no-agent"]);
    await fleet.startAgent(AGENT);
    const service = await runService(fleet, sleepers(), IDLE_TASKS);
    const pid = () => fleet.pid(AGENT);
    await untilQuiet(pid());
    await use({
      pid,
      async restart() {
        await fleet.end(AGENT, "SIGKILL");
        const connected = occurrences(await fleet.log(AGENT), "is connected");
        await fleet.restart(AGENT);
        await fleet.waitUntil(
          "the agent is back",
          async () => occurrences(await fleet.log(AGENT), "is connected") > connected,
        );
        await waitRunning(fleet, service, IDLE_TASKS);
        await untilQuiet(pid());
      },
    });
  });
}

function occurrences(text: string, words: string): number {
  return text.split(words).length - 1;
}

async function untilQuiet(pid: number): Promise<void> {
  const limit = performance.now() + QUIET_LIMIT_MS;
  for (let before = -1; performance.now() < limit;) {
    const now = writtenBytes(pid);
    if (now === before) return;
    before = now;
    await pass(QUIET_MS);
  }
  throw new Error(`process ${pid} writes to its disk for ever`);
}

/** Lets real time pass: idling is what is looked at. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Bytes that a process has had written to disks so far. */
export function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/io`))?.[1]);
}

/** `VmRSS`, `RssAnon` or `RssFile` of a process, in kB (1,024 bytes). */
export function residentKB(pid: number, field: "VmRSS" | "RssAnon" | "RssFile" = "VmRSS"): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
}

/** Processor time that a process has used so far, in seconds. */
export function processorSeconds(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // The name in brackets may hold blanks; user and system time are the 12th and 13th word behind it.
  const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(words[11]) + Number(words[12])) / TICKS_PER_SECOND;
}

/** The system calls by which a process changes files or folders within `ms`; undefined where there is no strace. */
export async function fileWrites(pid: number, ms: number): Promise<string[] | undefined> {
  const output = await Deno.makeTempFile({ prefix: "covey-strace-" });
  try {
    const strace = new Deno.Command("strace", {
      args: [
        "-f",
        "-qq",
        "-y",
        "-e",
        `trace=${WRITING_CALLS}`,
        "-e",
        "signal=none",
        "-o",
        output,
        "-p",
        `${pid}`,
      ],
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const early = await Promise.race([strace.status, pass(ms)]);
    if (early) throw new Error(`strace ended with ${early.code}`);
    strace.kill("SIGINT");
    await strace.status;
    return (await Deno.readTextFile(output)).split("\n")
      .map((line) => line.replace(/^\d+\s+/, ""))
      .filter((line) => line !== "" && !line.startsWith("<...") && !NO_FILE.test(line));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  } finally {
    await Deno.remove(output);
  }
}
