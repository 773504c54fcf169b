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

/** True if the node has every driver that the task's volumes and its log ask for. */
export function hasPlugins({ Spec, LogDriver }: Pick<Task, "Spec" | "LogDriver">, node: Node): boolean {
  if (Spec.Runtime !== RUNTIME_CONTAINER) return true;
  const plugins = node.Description?.Engine.Plugins ?? [];
  const has = (type: string, name: string) =>
    plugins.some((plugin) =>
      plugin.Type === type && (plugin.Name === name || plugin.Name === `${name}:latest`)
    );
  const volumes = Spec.ContainerSpec?.Mounts?.map(volumeDriver) ?? [];
  if (!volumes.every((driver) => !driver || has("Volume", driver))) return false;
  const log = (Spec.LogDriver ?? LogDriver)?.Name;
  // An engine that names no log driver at all does not report them.
  return !log || log === NO_LOG || has("Log", log) || !plugins.some(({ Type }) => Type === "Log");
}
