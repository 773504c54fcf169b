/**
 * Stock Docker clients know only containers: they crash on a task without `ContainerSpec` and drop fields they do not
 * know. So every other runtime is shown as a container, and what a client changed in that view is mapped back.
 */
import type { ContainerSpec } from "../container_spec.ts";
import type { ConfigReference, SecretReference } from "../dependency.ts";
import type { FieldProblem } from "../errors.ts";
import { type ProcessSpec, RUNTIME_PROCESS, type TaskSpec } from "../service.ts";

/** Fields of the view that mean something for a process. */
const MAPPED = new Set([
  "Image",
  "Command",
  "Args",
  "Env",
  "Dir",
  "User",
  "StopSignal",
  "StopGracePeriod",
  "Secrets",
  "Configs",
]);

/** The container that stands for a task of another runtime. */
export function shownContainer(task: Pick<TaskSpec, "Runtime" | "ProcessSpec">): ContainerSpec {
  const process = task.ProcessSpec;
  if (process === undefined) return { Image: `${tag(task.Runtime)}:latest` };
  const { Command, ...rest } = process;
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
  for (const [key, value] of Object.entries(edited)) {
    const empty = value === false || (typeof value === "object" && Object.keys(value ?? {}).length === 0);
    if (MAPPED.has(key) || empty) continue;
    problems.push({
      field: `TaskTemplate.ContainerSpec.${key}`,
      message: `cannot be used with runtime "${RUNTIME_PROCESS}"`,
    });
  }
  const [program, ...more] = edited.Command ?? [];
  const args = [...more, ...(edited.Args ?? [])];
  let command = program ?? current.Command;
  if (command === current.Command && edited.Image !== undefined && edited.Image !== shown.Image) {
    command = edited.Image.replace(/^process:/, "");
  }
  return {
    Command: command,
    ...(args.length > 0 && { Args: args }),
    ...(edited.Env !== undefined && { Env: edited.Env }),
    ...(edited.Dir !== undefined && { Dir: edited.Dir }),
    ...(edited.User !== undefined && { User: edited.User }),
    ...(edited.StopSignal !== undefined && { StopSignal: edited.StopSignal }),
    ...(edited.StopGracePeriod !== undefined && { StopGracePeriod: edited.StopGracePeriod }),
    ...(edited.Secrets !== undefined && { Secrets: withVariables(edited.Secrets, current.Secrets) }),
    ...(edited.Configs !== undefined && { Configs: withVariables(edited.Configs, current.Configs) }),
  };
}

/** Stock clients do not know `Env` of a reference, and leave it out of what they write back. */
function withVariables<R extends SecretReference | ConfigReference>(edited: R[], current: R[] = []): R[] {
  return edited.map((each) => {
    const known = current.find(({ File }) => File.Name === each.File.Name);
    return known?.Env === undefined ? each : { ...each, Env: known.Env };
  });
}
