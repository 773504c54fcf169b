/**
 * Stock Docker clients know only containers: they crash on a task without `ContainerSpec` and drop fields they do not
 * know. So every other runtime is shown as a container, and what a client changed in that view is mapped back.
 */
import type { ContainerSpec } from "../container_spec.ts";
import type { ConfigReference, SecretReference } from "../dependency.ts";
import type { DenoSpec } from "../deno_spec.ts";
import type { FieldProblem } from "../errors.ts";
import { type ProcessSpec, RUNTIME_DENO, RUNTIME_PROCESS, type TaskSpec } from "../service.ts";

/** Fields that a container has in common with every program that runs on the device. */
const SHARED = ["Args", "Env", "Dir", "User", "StopSignal", "StopGracePeriod"] as const;

/** Fields of a process that a container's view has no place for; what is not seen stays. */
const HIDDEN = ["Artifacts", "ReadOnly", "PrivateTmp", "Devices"] as const;

type Shared = Pick<ProcessSpec, typeof SHARED[number]>;

/** The container that stands for a task of another runtime. */
export function shownContainer(
  task: Pick<TaskSpec, "Runtime" | "ProcessSpec" | "DenoSpec">,
): ContainerSpec {
  const { ProcessSpec: process, DenoSpec: deno } = task;
  if (deno !== undefined) {
    const { Source: _source, Wasm, Module, Permissions: _permissions, Artifacts: _artifacts, ...rest } = deno;
    const name = Module?.split("/").at(-1) ?? (Wasm === undefined ? "script" : "wasm");
    return { Image: `${RUNTIME_DENO}:${tag(name)}`, ...rest };
  }
  if (process === undefined) return { Image: `${tag(task.Runtime)}:latest` };
  const { Command, ...rest } = process;
  for (const field of HIDDEN) delete rest[field];
  const base = Command.slice(Command.lastIndexOf("/") + 1);
  return { Image: `${RUNTIME_PROCESS}:${tag(base)}`, Command: [Command], ...rest };
}

/** `name` with what an image's tag may not hold replaced. */
function tag(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9_.-]/g, "_").slice(0, 128);
  return /^[A-Za-z0-9_]/.test(safe) ? safe : `_${safe}`.slice(0, 128);
}

/**
 * The process that a client means by the view it sent: `edited` is {@linkcode shownContainer} of `current` with changes.
 * Another first word of `Command`, or else another `Image`, is another program.
 */
export function processFromShown(
  edited: Partial<ContainerSpec>,
  current: ProcessSpec,
  problems: FieldProblem[],
): ProcessSpec {
  const shown = shownContainer({ Runtime: RUNTIME_PROCESS, ProcessSpec: current });
  refuseOthers(edited, RUNTIME_PROCESS, ["Image", "Command", "Secrets", "Configs"], problems);
  const [program, ...more] = edited.Command ?? [];
  const args = [...more, ...(edited.Args ?? [])];
  let command = program ?? current.Command;
  if (command === current.Command && edited.Image !== undefined && edited.Image !== shown.Image) {
    command = edited.Image.replace(/^process:/, "");
  }
  const { Args: _args, ...rest } = sharedOf(edited);
  return {
    Command: command,
    ...Object.fromEntries(HIDDEN.filter((field) => field in current).map((field) => [field, current[field]])),
    ...(args.length > 0 && { Args: args }),
    ...rest,
    ...(edited.Secrets !== undefined && { Secrets: withExtensions(edited.Secrets, current.Secrets) }),
    ...(edited.Configs !== undefined && { Configs: withExtensions(edited.Configs, current.Configs) }),
  };
}

/** Stock clients do not know the extensions of a reference, and leave them out of what they write back. */
export function withExtensions<R extends SecretReference | ConfigReference>(
  edited: R[],
  current: R[] = [],
): R[] {
  return edited.map((each) => {
    const { Env, Signal } = current.find(({ File }) => File.Name === each.File.Name) ?? {};
    return { ...(Env !== undefined && { Env }), ...(Signal !== undefined && { Signal }), ...each };
  });
}

/** As {@linkcode processFromShown}; what runs and what it may do has no place in the view, and stays. */
export function denoFromShown(
  edited: Partial<ContainerSpec>,
  current: DenoSpec,
  problems: FieldProblem[],
): DenoSpec {
  refuseOthers(edited, RUNTIME_DENO, ["Image"], problems);
  const { Image } = shownContainer({ Runtime: RUNTIME_DENO, DenoSpec: current });
  if (edited.Image !== undefined && edited.Image !== Image) {
    problems.push({
      field: "TaskTemplate.ContainerSpec.Image",
      message: `cannot be changed with runtime "${RUNTIME_DENO}": a script is changed in its DenoSpec`,
    });
  }
  const { Source, Wasm, Module, Permissions, Artifacts } = current;
  return {
    ...(Source !== undefined && { Source }),
    ...(Wasm !== undefined && { Wasm }),
    ...(Module !== undefined && { Module }),
    ...(Artifacts !== undefined && { Artifacts }),
    ...sharedOf(edited),
    ...(Permissions !== undefined && { Permissions }),
  };
}

/** Notes every field that says something and is neither shared nor one of `more`. */
function refuseOthers(
  edited: Partial<ContainerSpec>,
  runtime: string,
  more: string[],
  problems: FieldProblem[],
): void {
  const mapped = new Set<string>([...SHARED, ...more]);
  for (const [key, value] of Object.entries(edited)) {
    const empty = value === false || (typeof value === "object" && Object.keys(value ?? {}).length === 0);
    if (mapped.has(key) || empty) continue;
    problems.push({
      field: `TaskTemplate.ContainerSpec.${key}`,
      message: `cannot be used with runtime "${runtime}"`,
    });
  }
}

function sharedOf(edited: Partial<ContainerSpec>): Shared {
  const given = SHARED.filter((field) => edited[field] !== undefined);
  return Object.fromEntries(given.map((field) => [field, edited[field]]));
}
