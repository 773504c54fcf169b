/** Where placeholders stand in a task, and what they are filled with. */
import type { Artifact } from "./artifact.ts";
import type { Mount } from "./container_spec.ts";
import { CoveyError, type FieldProblem } from "./errors.ts";
import type { NodeDescription } from "./node.ts";
import type { ServiceSpec, TaskSpec } from "./service.ts";
import { type Task, taskName } from "./task.ts";
import { expand, hasPlaceholder, namesIn, type TemplateContext, type TemplateFunctions } from "./template.ts";

/** What is asked of a node. */
type NodeFacts = Pick<NodeDescription, "Hostname" | "Platform">;

type Fill = (text: string, path: string, what: string) => string;

/** Characters of a secret or config with its placeholders filled in: twice the largest that there is. */
const MAX_EXPANDED_PAYLOAD = 2 * 1024 * 1024;

/**
 * Docker takes arguments as they are, and many a program has placeholders of its own in them: only one that names a variable
 * is a template.
 */
function isArgumentTemplate(text: string): boolean {
  return /\{\{[^}]*\.Var\b/.test(text);
}

/** `spec` with `fill` applied to each text in which placeholders count; the same object if there is none. */
function mapTemplates(spec: TaskSpec, fill: Fill): TaskSpec {
  let changed = false;
  const each: Fill = (text, path, what) => {
    if (!hasPlaceholder(text)) return text;
    changed = true;
    return fill(text, path, what);
  };
  const { ContainerSpec: container, ProcessSpec: process, DenoSpec: deno } = spec;
  const env = (list: string[], path: string) => list.map((text, i) => each(text, `${path}.Env[${i}]`, "env"));
  const args = (list: string[], path: string) =>
    list.map((text, i) => isArgumentTemplate(text) ? each(text, `${path}.Args[${i}]`, "args") : text);
  const program = <P extends { Env?: string[]; Args?: string[] }>(spec: P, path: string): P => ({
    ...spec,
    ...(spec.Env && { Env: env(spec.Env, path) }),
    ...(spec.Args && { Args: args(spec.Args, path) }),
  });
  const next: TaskSpec = { ...spec };
  if (container !== undefined) {
    const path = "TaskTemplate.ContainerSpec";
    next.ContainerSpec = {
      ...program(container, path),
      ...(container.Hostname && { Hostname: each(container.Hostname, `${path}.Hostname`, "hostname") }),
      ...(container.Mounts && {
        Mounts: container.Mounts.map((mount, i) => mapMount(mount, `${path}.Mounts[${i}]`, each)),
      }),
    };
  }
  const artifacts = <P extends { Artifacts?: Artifact[] }>(spec: P, path: string): P => ({
    ...spec,
    ...(spec.Artifacts && {
      Artifacts: spec.Artifacts.map((artifact, i) => ({
        ...artifact,
        URL: each(artifact.URL, `${path}.Artifacts[${i}].URL`, "artifact"),
      })),
    }),
  });
  const local = <P extends { Env?: string[]; Args?: string[]; Artifacts?: Artifact[] }>(
    spec: P,
    name: string,
  ) => artifacts(program(spec, `TaskTemplate.${name}`), `TaskTemplate.${name}`);
  if (process !== undefined) next.ProcessSpec = local(process, "ProcessSpec");
  if (deno !== undefined) next.DenoSpec = local(deno, "DenoSpec");
  return changed ? next : spec;
}

function mapMount(mount: Mount, path: string, each: Fill): Mount {
  const { VolumeOptions: volume } = mount, driver = volume?.DriverConfig;
  const values = (map: Record<string, string>, at: string) =>
    Object.fromEntries(
      Object.entries(map).map(([key, text]) => [key, each(text, `${path}.${at}.${key}`, "mount")]),
    );
  return {
    ...mount,
    ...(mount.Source && { Source: each(mount.Source, `${path}.Source`, "mount source") }),
    Target: each(mount.Target, `${path}.Target`, "mount target"),
    ...(volume && {
      VolumeOptions: {
        ...volume,
        ...(volume.Labels && { Labels: values(volume.Labels, "VolumeOptions.Labels") }),
        ...(driver && {
          DriverConfig: {
            ...driver,
            ...(driver.Options && { Options: values(driver.Options, "VolumeOptions.DriverConfig.Options") }),
          },
        }),
      },
    }),
  };
}

/** Notes the placeholders of a spec that no node could fill in. */
export function checkTemplates({ Name, Labels, TaskTemplate }: ServiceSpec, problems: FieldProblem[]): void {
  mapTemplates(TaskTemplate, (text, field, what) => {
    try {
      return expand(text, sampleContext(text, { Name, Labels }));
    } catch (thrown) {
      const { message } = CoveyError.from(thrown);
      const group = what.startsWith("mount") ? "mounts" : what;
      problems.push({
        field,
        message: `expanding ${group} failed: expanding ${what} ${JSON.stringify(text)}: ${message}`,
      });
      return text;
    }
  });
}

/** What a template is tried with before there is a node: values of any kind for whatever variables it names. */
function sampleContext(
  text: string,
  { Name, Labels }: Pick<ServiceSpec, "Name" | "Labels">,
): TemplateContext {
  return {
    Service: { ID: "service", Name, Labels },
    Node: { ID: "node", Hostname: "node", Platform: { Architecture: "arch", OS: "os" } },
    Task: { ID: "task", Name: "task", Slot: 1 },
    Var: Object.fromEntries(namesIn(text).variables.map((name) => [name, "value"])),
  };
}

const usedNames = new WeakMap<TaskSpec, readonly string[]>();

/** The variables that the placeholders of `spec` name; those of its secrets and configs are in their texts. */
export function variablesOf(spec: TaskSpec): readonly string[] {
  let names = usedNames.get(spec);
  if (names === undefined) {
    const found = new Set<string>();
    mapTemplates(spec, (text) => {
      for (const name of namesIn(text).variables) found.add(name);
      return text;
    });
    usedNames.set(spec, names = [...found]);
  }
  return names;
}

/** Why no task could be given this text of a secret or config, as far as that can be known; undefined if some could. */
export function payloadProblem(text: string): string | undefined {
  try {
    // Labels differ by service, and an index finds none in some.
    const service = { Name: "service", Labels: labelsNamedIn(text) };
    const functions = { secret: () => "", config: () => "", env: () => "" };
    expand(text, sampleContext(text, service), functions, MAX_EXPANDED_PAYLOAD);
  } catch (thrown) {
    return CoveyError.from(thrown).message;
  }
}

function labelsNamedIn(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/\.Service\.Labels\.(\w+)/g)].map(([, name]) => [name!, "label"]),
  );
}

/** True if anything in the task's spec has to be filled in. */
export function hasTemplates(task: Pick<Task, "Spec">): boolean {
  return mapTemplates(task.Spec, (text) => text) !== task.Spec;
}

/** `task` as it runs on its node. Throws `invalid_argument`. */
export function expandTask(
  task: Task,
  node: NodeFacts,
): Task {
  const context = contextOf(task, node);
  return { ...task, Spec: mapTemplates(task.Spec, (text) => expand(text, context)) };
}

/** The text of a secret or config as `task` gets it, which `functions` look further things up for. Throws `invalid_argument`. */
export function expandPayload(
  task: Task,
  node: NodeFacts,
  text: string,
  functions: Pick<TemplateFunctions, "secret" | "config">,
): string {
  const env = (name: string) => variableOf(expandTask(task, node), name);
  return expand(text, contextOf(task, node), { ...functions, env }, MAX_EXPANDED_PAYLOAD);
}

/** A variable of the task's program; empty where it has none of that name (SwarmKit). */
function variableOf({ Spec: { ContainerSpec, ProcessSpec, DenoSpec } }: Task, name: string): string {
  const env = (ContainerSpec ?? ProcessSpec ?? DenoSpec)?.Env ?? [];
  return env.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

function contextOf(task: Task, { Hostname, Platform: { Architecture, OS } }: NodeFacts): TemplateContext {
  const { Name, Labels } = task.ServiceAnnotations;
  return {
    Service: { ID: task.ServiceID, Name, Labels },
    Node: { ID: task.NodeID, Hostname, Platform: { Architecture, OS } },
    Task: { ID: task.ID, Name: taskName(task), Slot: task.Slot ?? 0 },
    Var: task.Variables ?? {},
  };
}
