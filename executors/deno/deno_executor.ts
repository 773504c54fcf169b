/** Runs scripts and WebAssembly modules with the Deno that runs the agent, as programs under the process executor's shim. */
import { dirname, join } from "node:path";
import { RUNTIME_DENO } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import type { Executor, ExecutorContext, LogSource, Reloader, Sweeper, TaskEnterer } from "../executor.ts";
import { defaultShim } from "../default_shim.ts";
import { createProgramExecutor, type ProcessOptions } from "../process/process_executor.ts";
import { denoRequest } from "./deno_spec.ts";

/** An executor for deno tasks, with its files under `context.stateDir`. */
export async function createDenoExecutor(
  context: ExecutorContext,
  options: ProcessOptions = {},
): Promise<Executor & Sweeper & Reloader & LogSource & TaskEnterer> {
  // They stand beside the shim, wherever the agent's own modules were bundled to.
  const folder = join(dirname(options.shim ?? defaultShim()), "../deno");
  const loaders = {
    script: await Deno.readTextFile(`${folder}/script_loader.js`),
    wasm: await Deno.readTextFile(`${folder}/wasm_loader.js`),
  };
  const deno = Deno.execPath();
  const kind = {
    name: RUNTIME_DENO,
    request: (task: Task, path: string, files: ReadonlyMap<string, string>) =>
      denoRequest(task, path, deno, loaders, files),
  };
  return await createProgramExecutor(kind, context, options);
}
