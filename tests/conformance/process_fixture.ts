import { LOG_STREAMS } from "../../api/logs.ts";
import { logName } from "../../executors/process/log_reader.ts";
import type { ProcessSpec } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { createProcessExecutor, type ProcessOptions } from "../../executors/process/process_executor.ts";
import { eventually } from "../support/programs.ts";
import type { Fixture, Program } from "./executor_conformance.ts";
import { NODE_ID, taskWith } from "./tasks.ts";

/** A task that runs a program. */
export function processTask(spec: ProcessSpec): Task {
  return taskWith({ Runtime: "process", ProcessSpec: spec });
}

function specOf(program: Program): ProcessSpec {
  if (program === "forever") return { Command: "sleep", Args: ["100000"] };
  if (program === "missing") return { Command: "/nonexistent/program" };
  if (program === "bad") return { Command: "relative/path" };
  if (program === "prints") {
    return { Command: "sh", Args: ["-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three"] };
  }
  if (program === "stubborn") {
    // Ignored from its first moment on, where a trap takes a while to be set.
    return { Command: "sleep", Args: ["100000"], StopSignal: "SIGWINCH", StopGracePeriod: 1e8 };
  }
  return { Command: "sh", Args: ["-c", `exit ${program.exit}`] };
}

/** The shim of a task, by the folder that it works in, which may be gone. */
export async function shimsOf(stateDir: string, taskID: string): Promise<number[]> {
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (!line.includes(`\0serve\0${stateDir}\0`)) continue;
    const folder = await Deno.readLink(`/proc/${name}/cwd`).catch(() => "");
    if (folder.startsWith(`${stateDir}/tasks/${taskID}`)) pids.push(Number(name));
  }
  return pids;
}

/** Looks at all processes until none is a task's shim, and the pause between two: a busy machine leaves one there for a while. */
const MAX_LOOKS = 200, LOOK_PAUSE_MS = 20;

/** The process executor on a folder of its own. */
export function processFixture(options: ProcessOptions = {}): Promise<Fixture & { stateDir: string }> {
  return programFixture(createProcessExecutor, (program) => processTask(specOf(program)), options);
}

/** An executor whose tasks are programs of the device, on a folder of its own. */
export async function programFixture(
  create: typeof createProcessExecutor,
  task: Fixture["task"],
  options: ProcessOptions,
): Promise<Fixture & { stateDir: string }> {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-program-" });
  // As the agent's own folder is: tasks of other users get through.
  await Deno.chmod(stateDir, 0o711);
  return {
    stateDir,
    executor: () => create({ stateDir, nodeID: NODE_ID }, options),
    task,
    vanish: async (task, controller) => {
      const { PID } = (await controller.status())!;
      for (const pid of await shimsOf(stateDir, task.ID)) Deno.kill(pid, "SIGKILL");
      Deno.kill(PID, "SIGKILL");
    },
    traces: async (task) => {
      // A shim says that it ends and then does; on a busy machine it is still seen for a moment.
      let shims = await shimsOf(stateDir, task.ID);
      for (let looks = 0; shims.length > 0 && looks < MAX_LOOKS; looks++) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS));
        shims = await shimsOf(stateDir, task.ID);
      }
      const found = shims.map((pid) => `shim ${pid}`);
      for (
        const path of [
          `tasks/${task.ID}`,
          `runs/${task.ID}`,
          ...LOG_STREAMS.map((stream) => `logs/${logName(task.ID, stream)}`),
          `scripts/${task.ID}`,
        ]
      ) {
        if (await Deno.stat(`${stateDir}/${path}`).then(() => true, () => false)) found.push(path);
      }
      return found;
    },
    close: () => removeFolder(stateDir),
  };
}

/** Removes a state folder, in which the keeper of an agent that has ended may be at its last work. */
async function removeFolder(path: string): Promise<void> {
  let why = "";
  const remove = async () => {
    try {
      await Deno.remove(path, { recursive: true });
      return true;
    } catch (error) {
      why = String(error);
      return error instanceof Deno.errors.NotFound;
    }
  };
  await eventually(`${path} is removed`, remove, () => why);
}
