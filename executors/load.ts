/** Makes the executors that an agent was told to use. Nothing is imported for an executor that is not wanted. */
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { makePassableFolder } from "../api/private_folder.ts";
import { brokenPromises, type Executor, type ExecutorContext, type ExecutorFactory } from "./executor.ts";

/** The name of a runtime: it is stored with every task, and shown with every node. */
const RUNTIME = /^[A-Za-z0-9][\w./-]{2,63}$/;

/** Which executors to use. */
export interface ExecutorChoice {
  /** Path of the Docker Engine's socket, or `none`. It need not be there yet. */
  docker: string;
  /** False for no programs on the device, neither by themselves nor run by Deno; `shim` is the absolute path that the sandbox allows to run. */
  process: false | { shim?: string; path?: string };
  /** Absolute paths or URLs of modules whose default export is an {@linkcode ExecutorFactory}. */
  modules: string[];
}

/**
 * The chosen executors by the runtime they serve. `context.stateDir` gets a folder for each.
 *
 * @throws {CoveyError} `invalid_argument` for a module that cannot be loaded, makes no executor, or serves a runtime twice.
 */
export async function loadExecutors(
  choice: ExecutorChoice,
  context: ExecutorContext,
  clock?: Clock,
): Promise<Map<string, Executor>> {
  const executors = new Map<string, Executor>();
  const time = clock ? { clock } : {};
  try {
    if (choice.docker !== "none") {
      const { createDockerExecutor } = await import("./docker/docker_executor.ts");
      add(executors, createDockerExecutor(context, { socket: choice.docker, ...shimOf(choice), ...time }));
    }
    if (choice.process) {
      const { createProcessExecutor } = await import("./process/process_executor.ts");
      const { createDenoExecutor } = await import("./deno/deno_executor.ts");
      const options = { ...choice.process, ...time };
      add(executors, await createProcessExecutor(await ownFolder(context, "process"), options));
      add(executors, await createDenoExecutor(await ownFolder(context, "deno"), options));
    }
    for (const [i, module] of choice.modules.entries()) {
      add(executors, await makeExecutor(module, await ownFolder(context, `module${i}`)), module);
    }
    return executors;
  } catch (error) {
    for (const executor of executors.values()) await executor.close();
    throw error;
  }
}

function shimOf({ process }: ExecutorChoice): { shim?: string } {
  return process && process.shim !== undefined ? { shim: process.shim } : {};
}

async function ownFolder(context: ExecutorContext, name: string): Promise<ExecutorContext> {
  const stateDir = join(context.stateDir, name);
  await makePassableFolder(stateDir);
  return { ...context, stateDir };
}

function refused(module: string, message: string, cause?: unknown): CoveyError {
  return new CoveyError("invalid_argument", `Cannot load executor ${module}: ${message}`, { cause });
}

async function makeExecutor(module: string, context: ExecutorContext): Promise<Executor> {
  const factory = await factoryOf(module);
  try {
    return await factory(context);
  } catch (error) {
    throw refused(module, error instanceof Error ? error.message : String(error), error);
  }
}

async function factoryOf(module: string): Promise<ExecutorFactory> {
  let loaded: { default?: unknown };
  try {
    loaded = await import(isAbsolute(module) ? pathToFileURL(module).href : module);
  } catch (error) {
    throw refused(module, error instanceof Error ? error.message : String(error), error);
  }
  if (typeof loaded.default !== "function") throw refused(module, "its default export is not a function");
  return loaded.default as ExecutorFactory;
}

function add(executors: Map<string, Executor>, executor: Executor, module = executor?.name): void {
  const methods = ["describe", "controller", "recover", "close"] as const;
  const missing = methods.filter((method) => typeof executor?.[method] !== "function");
  if (missing.length > 0 || !executor?.runtime) {
    throw refused(
      module,
      `it makes no executor: without ${[...missing, executor?.runtime ? "" : "runtime"].join(" ")}`,
    );
  }
  if (!RUNTIME.test(executor.runtime)) {
    throw refused(module, `runtime ${JSON.stringify(executor.runtime)} is no word of 3 to 64 characters`);
  }
  const broken = brokenPromises(executor);
  if (broken.length > 0) throw refused(module, `it names the capability ${broken.join(", ")}`);
  if (executors.has(executor.runtime)) {
    throw refused(
      module,
      `runtime ${executor.runtime} is served by ${executors.get(executor.runtime)!.name} already`,
    );
  }
  executors.set(executor.runtime, executor);
}
