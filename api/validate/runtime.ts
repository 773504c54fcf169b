/** Brings a checked task template to what is stored: one runtime, one spec of that runtime. */
import type { ContainerSpec } from "../container_spec.ts";
import type { FieldProblem } from "../errors.ts";
import { type ProcessSpec, RUNTIME_CONTAINER, RUNTIME_PROCESS, type TaskSpec } from "../service.ts";
import { checkImage } from "./container_shape.ts";
import { commandProblem } from "./process_command.ts";
import { userProblem } from "./process_user.ts";
import type { Shaped } from "./shape.ts";
import { processFromShown } from "./shown_container.ts";
import type { taskShape } from "./task_shape.ts";

/** A task template of which each field by itself is right. */
export type CheckedTask = Shaped<typeof taskShape>;

/** The text of Docker's error for a spec that does not fit the runtime. */
const MISMATCH = "mismatched Runtime and *Spec fields";
/** Names that executors cannot have. */
const RESERVED_RUNTIMES = ["plugin", "attachment"];

/** Settles runtime and runtime spec. `current` is what the service has now, for clients that cannot carry `ProcessSpec`. */
export function settleRuntime(
  task: CheckedTask,
  current: TaskSpec | undefined,
  problems: FieldProblem[],
): TaskSpec {
  const { ContainerSpec, ProcessSpec, GenericSpec, ForceUpdate = 0, Runtime: _given, ...rest } = task;
  const Runtime = runtimeOf(task, current);
  const common = rest as Omit<TaskSpec, "ForceUpdate" | "Runtime">;
  const end = { ForceUpdate, Runtime };
  if (Runtime === RUNTIME_CONTAINER) {
    if (ProcessSpec !== undefined) mismatch("TaskTemplate.ProcessSpec", problems);
    if (ContainerSpec === undefined) mismatch("TaskTemplate.ContainerSpec", problems);
    else checkImage(ContainerSpec.Image, "TaskTemplate.ContainerSpec.Image", problems);
    return { ContainerSpec: { Image: "", ...ContainerSpec } as ContainerSpec, ...common, ...end };
  }
  if (Runtime === RUNTIME_PROCESS) {
    if (common.LogDriver !== undefined) {
      const message = "log drivers are not available for programs, whose logs their device keeps";
      problems.push({ field: "TaskTemplate.LogDriver", message });
    }
    const known = current?.Runtime === RUNTIME_PROCESS ? current.ProcessSpec : undefined;
    const process = settleProcess(ProcessSpec, ContainerSpec as Partial<ContainerSpec>, known, problems);
    return { ProcessSpec: process, ...common, ...end };
  }
  if (Runtime.length < 3 || RESERVED_RUNTIMES.includes(Runtime.toLowerCase())) {
    problems.push({ field: "TaskTemplate.Runtime", message: `unsupported runtime type: "${Runtime}"` });
  }
  const generic = GenericSpec ?? (current?.Runtime === Runtime ? current.GenericSpec : undefined);
  if (generic?.Payload === undefined) mismatch("TaskTemplate.GenericSpec.Payload", problems);
  return { GenericSpec: { Payload: generic?.Payload }, ...common, ...end };
}

/** Docker's own clients write a view back as a container; a service keeps its runtime for life, so it is known what is meant. */
function runtimeOf(task: CheckedTask, current: TaskSpec | undefined): string {
  const given = task.Runtime ?? RUNTIME_CONTAINER;
  return given === RUNTIME_CONTAINER && task.ContainerSpec !== undefined ? current?.Runtime ?? given : given;
}

function mismatch(field: string, problems: FieldProblem[]): void {
  problems.push({ field, message: MISMATCH });
}

function settleProcess(
  given: CheckedTask["ProcessSpec"],
  shown: Partial<ContainerSpec> | undefined,
  current: ProcessSpec | undefined,
  problems: FieldProblem[],
): ProcessSpec {
  if (given === undefined && shown !== undefined && current !== undefined) {
    const edited = processFromShown(shown, current, problems);
    checkCommand(edited.Command, problems);
    return edited;
  }
  const process = given ?? current;
  if (process === undefined) mismatch("TaskTemplate.ProcessSpec", problems);
  else if (process.Command === undefined) {
    problems.push({ field: "TaskTemplate.ProcessSpec.Command", message: "a program must be provided" });
  }
  checkCommand(process?.Command, problems);
  const user = userProblem(process?.User ?? "");
  if (user) problems.push({ field: "TaskTemplate.ProcessSpec.User", message: user });
  for (const [index, entry] of (process?.Env ?? []).entries()) {
    if (entry.indexOf("=") > 0) continue;
    problems.push({
      field: `TaskTemplate.ProcessSpec.Env[${index}]`,
      message: `must read NAME=value: current value is "${entry}"`,
    });
  }
  return { ...process, Command: process?.Command ?? "" };
}

/** What no device could ever run is refused here, not by each device in turn. */
function checkCommand(command: string | undefined, problems: FieldProblem[]): void {
  const message = commandProblem(command ?? "");
  if (message) problems.push({ field: "TaskTemplate.ProcessSpec.Command", message });
}
