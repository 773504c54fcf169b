/** Which plugins a task needs of its node's engine (SwarmKit `PluginFilter`). */
import type { Mount } from "../../api/container_spec.ts";
import type { Node } from "../../api/node.ts";
import { RUNTIME_CONTAINER } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";

/** The driver of volumes that every engine has without naming it. */
const LOCAL_VOLUMES = "local";
/** The log driver that keeps nothing. */
const NO_LOG = "none";

function volumeDriver({ Type, VolumeOptions }: Mount): string | undefined {
  const name = Type === "volume" ? VolumeOptions?.DriverConfig?.Name : undefined;
  return name === LOCAL_VOLUMES ? undefined : name;
}

/** The drivers that a task needs of its node's engine. */
export interface PluginNeeds {
  volumes: string[];
  log: string | undefined;
}

/** What the task's volumes and its log ask for; undefined if that is nothing. */
export function pluginNeeds({ Spec, LogDriver }: Pick<Task, "Spec" | "LogDriver">): PluginNeeds | undefined {
  if (Spec.Runtime !== RUNTIME_CONTAINER) return undefined;
  const volumes = (Spec.ContainerSpec?.Mounts ?? []).flatMap((mount) => volumeDriver(mount) || []);
  const name = (Spec.LogDriver ?? LogDriver)?.Name;
  const log = name && name !== NO_LOG ? name : undefined;
  return volumes.length === 0 && log === undefined ? undefined : { volumes, log };
}

/** True if the node has every driver that the task needs. */
export function hasPlugins(task: Pick<Task, "Spec" | "LogDriver">, node: Node): boolean {
  const needs = pluginNeeds(task);
  if (needs === undefined) return true;
  const plugins = node.Description?.Engine.Plugins ?? [];
  const has = (type: string, name: string) =>
    plugins.some((plugin) =>
      plugin.Type === type && (plugin.Name === name || plugin.Name === `${name}:latest`)
    );
  if (!needs.volumes.every((driver) => has("Volume", driver))) return false;
  // An engine that names no log driver at all does not report them.
  return needs.log === undefined || has("Log", needs.log) || !plugins.some(({ Type }) => Type === "Log");
}
