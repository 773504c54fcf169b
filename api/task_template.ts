/** Where placeholders stand in a task, and what they are filled with. */
import type { Mount } from "./container_spec.ts";
import { CoveyError, type FieldProblem } from "./errors.ts";
import type { NodeDescription } from "./node.ts";
import type { ServiceSpec, TaskSpec } from "./service.ts";
import { type Task, taskName } from "./task.ts";
import { expand, hasPlaceholder, type TemplateContext } from "./template.ts";

/** What is asked of a node. */
type NodeFacts = Pick<NodeDescription, "Hostname" | "Platform">;

type Fill = (text: string, path: string, what: string) => string;

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
  const next: TaskSpec = { ...spec };
  if (container !== undefined) {
    const path = "TaskTemplate.ContainerSpec";
    next.ContainerSpec = {
      ...container,
      ...(container.Env && { Env: env(container.Env, path) }),
      ...(container.Hostname && { Hostname: each(container.Hostname, `${path}.Hostname`, "hostname") }),
      ...(container.Mounts && {
        Mounts: container.Mounts.map((mount, i) => mapMount(mount, `${path}.Mounts[${i}]`, each)),
      }),
    };
  }
  if (process?.Env) next.ProcessSpec = { ...process, Env: env(process.Env, "TaskTemplate.ProcessSpec") };
  if (deno?.Env) next.DenoSpec = { ...deno, Env: env(deno.Env, "TaskTemplate.DenoSpec") };
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
  const context: TemplateContext = {
    Service: { ID: "service", Name, Labels },
    Node: { ID: "node", Hostname: "node", Platform: { Architecture: "arch", OS: "os" } },
    Task: { ID: "task", Name: "task", Slot: 1 },
  };
  mapTemplates(TaskTemplate, (text, field, what) => {
    try {
      return expand(text, context);
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

/** The text of a secret or config as `task` gets it. Throws `invalid_argument`. */
export function expandPayload(task: Task, node: NodeFacts, text: string): string {
  return expand(text, contextOf(task, node));
}

function contextOf(task: Task, { Hostname, Platform: { Architecture, OS } }: NodeFacts): TemplateContext {
  const { Name, Labels } = task.ServiceAnnotations;
  return {
    Service: { ID: task.ServiceID, Name, Labels },
    Node: { ID: task.NodeID, Hostname, Platform: { Architecture, OS } },
    Task: { ID: task.ID, Name: taskName(task), Slot: task.Slot ?? 0 },
  };
}
