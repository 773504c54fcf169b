/** Brings a checked task template to what is stored: one runtime, one spec of that runtime. */
import type { ContainerSpec } from "../container_spec.ts";
import type { DenoSpec } from "../deno_spec.ts";
import { labelledAccess } from "../host_access.ts";
import { predefinedNetwork } from "../predefined_network.ts";
import { hasPlaceholder } from "../template.ts";
import type { FieldProblem } from "../errors.ts";
import {
  type ProcessSpec,
  RUNTIME_CONTAINER,
  RUNTIME_DENO,
  RUNTIME_PROCESS,
  type TaskSpec,
} from "../service.ts";
import { artifactProblems } from "./artifact_problems.ts";
import { checkImage } from "./container_shape.ts";
import { denoProblems } from "./deno_problems.ts";
import { deviceProblems } from "./device_problems.ts";
import { commandProblem } from "./process_command.ts";
import { programProblems, type ProgramSpec } from "./program.ts";
import { checkContainerReferences, checkProcessReferences } from "./reference_shape.ts";
import type { Shaped } from "./shape.ts";
import { denoFromShown, processFromShown, withExtensions } from "./shown_container.ts";
import type { taskShape } from "./task_shape.ts";

/** A task template of which each field by itself is right. */
export type CheckedTask = Shaped<typeof taskShape>;

/** The text of Docker's error for a spec that does not fit the runtime. */
const MISMATCH = "mismatched Runtime and *Spec fields";
/** Names that executors cannot have. */
const RESERVED_RUNTIMES = ["plugin", "attachment"];

/** Settles runtime and runtime spec. `current` is what the service has now, for clients that cannot carry its spec. */
export function settleRuntime(
  task: CheckedTask,
  current: TaskSpec | undefined,
  problems: FieldProblem[],
): TaskSpec {
  const { ContainerSpec, ProcessSpec, DenoSpec, GenericSpec, ForceUpdate = 0, Runtime: _given, ...rest } =
    task;
  const Runtime = runtimeOf(task, current);
  const common = rest as Omit<TaskSpec, "ForceUpdate" | "Runtime">;
  const end = { ForceUpdate, Runtime };
  if (Runtime === RUNTIME_CONTAINER) {
    if (ProcessSpec !== undefined) mismatch("TaskTemplate.ProcessSpec", problems);
    if (DenoSpec !== undefined) mismatch("TaskTemplate.DenoSpec", problems);
    if (ContainerSpec === undefined) mismatch("TaskTemplate.ContainerSpec", problems);
    else {
      const { Secrets, Configs } = ContainerSpec, known = current?.ContainerSpec;
      if (Secrets) ContainerSpec.Secrets = withExtensions(Secrets, known?.Secrets);
      if (Configs) ContainerSpec.Configs = withExtensions(Configs, known?.Configs);
      checkImage(ContainerSpec.Image, "TaskTemplate.ContainerSpec.Image", problems);
      checkContainerReferences(ContainerSpec, "TaskTemplate.ContainerSpec", problems);
      labelledAccess(ContainerSpec.Labels, "TaskTemplate.ContainerSpec.Labels", problems);
    }
    return { ContainerSpec: { Image: "", ...ContainerSpec } as ContainerSpec, ...common, ...end };
  }
  if ((Runtime === RUNTIME_PROCESS || Runtime === RUNTIME_DENO) && common.LogDriver !== undefined) {
    const message = "log drivers are not available for programs, whose logs their device keeps";
    problems.push({ field: "TaskTemplate.LogDriver", message });
  }
  if (Runtime === RUNTIME_PROCESS || Runtime === RUNTIME_DENO) checkProgramNetworks(common, problems);
  else if (common.Networks !== undefined) {
    const message = "networks are for containers and programs: anything else is in its device's own";
    problems.push({ field: "TaskTemplate.Networks", message });
  }
  if (Runtime === RUNTIME_PROCESS) {
    if (DenoSpec !== undefined) mismatch("TaskTemplate.DenoSpec", problems);
    const known = current?.Runtime === RUNTIME_PROCESS ? current.ProcessSpec : undefined;
    const process = settleProcess(ProcessSpec, ContainerSpec as Partial<ContainerSpec>, known, problems);
    return { ProcessSpec: process, ...common, ...end };
  }
  if (Runtime === RUNTIME_DENO) {
    if (ProcessSpec !== undefined) mismatch("TaskTemplate.ProcessSpec", problems);
    const known = current?.Runtime === RUNTIME_DENO ? current.DenoSpec : undefined;
    const deno = settleDeno(DenoSpec as DenoSpec, ContainerSpec as Partial<ContainerSpec>, known, problems);
    return { DenoSpec: deno, ...common, ...end };
  }
  if (Runtime.length < 3 || RESERVED_RUNTIMES.includes(Runtime.toLowerCase())) {
    problems.push({ field: "TaskTemplate.Runtime", message: `unsupported runtime type: "${Runtime}"` });
  }
  const generic = GenericSpec ?? (current?.Runtime === Runtime ? current.GenericSpec : undefined);
  if (generic?.Payload === undefined) mismatch("TaskTemplate.GenericSpec.Payload", problems);
  return { GenericSpec: { Payload: generic?.Payload }, ...common, ...end };
}

/** A program is in its device's own network, or in a namespace of its own that is in the cluster's. */
function checkProgramNetworks({ Networks = [] }: Pick<TaskSpec, "Networks">, problems: FieldProblem[]): void {
  Networks.forEach(({ Target }, index) => {
    const name = predefinedNetwork(Target)?.Name;
    if (name === undefined || name === "host") return;
    const message = `a program is in its device's network (host), or in networks of the cluster: ${name}`;
    problems.push({ field: `TaskTemplate.Networks[${index}].Target`, message });
  });
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
    checkProcessReferences(edited, "TaskTemplate.ContainerSpec", problems);
    return edited;
  }
  const process = given ?? current;
  if (process === undefined) mismatch("TaskTemplate.ProcessSpec", problems);
  else if (process.Command === undefined) {
    problems.push({ field: "TaskTemplate.ProcessSpec.Command", message: "a program must be provided" });
  }
  checkCommand(process?.Command, problems);
  problems.push(...deviceProblems("TaskTemplate.ProcessSpec.Devices", process?.Devices ?? []));
  problems.push(...artifactProblems("TaskTemplate.ProcessSpec.Artifacts", process?.Artifacts ?? []));
  checkProgram("TaskTemplate.ProcessSpec", process, problems);
  checkProcessReferences(process ?? {}, "TaskTemplate.ProcessSpec", problems);
  return { ...process, Command: process?.Command ?? "" } as ProcessSpec;
}

function settleDeno(
  given: DenoSpec | undefined,
  shown: Partial<ContainerSpec> | undefined,
  current: DenoSpec | undefined,
  problems: FieldProblem[],
): DenoSpec {
  if (given === undefined && shown !== undefined && current !== undefined) {
    return denoFromShown(shown, current, problems);
  }
  const deno = given ?? current;
  if (deno === undefined) mismatch("TaskTemplate.DenoSpec", problems);
  else problems.push(...denoProblems("TaskTemplate.DenoSpec", deno));
  checkProgram("TaskTemplate.DenoSpec", deno, problems);
  return { ...deno };
}

/** What programs of every runtime have in common. A variable whose name is to be filled in is its device's to judge. */
function checkProgram(path: string, program: ProgramSpec | undefined, problems: FieldProblem[]): void {
  const Env = program?.Env?.map((entry) => hasPlaceholder(entry.split("=", 1)[0]!) ? "PLACEHOLDER=" : entry);
  problems.push(...programProblems(path, { ...program, ...(Env && { Env }) }, []));
}

/** What no device could ever run is refused here, not by each device in turn. */
function checkCommand(command: string | undefined, problems: FieldProblem[]): void {
  const message = commandProblem(command ?? "");
  if (message) problems.push({ field: "TaskTemplate.ProcessSpec.Command", message });
}
