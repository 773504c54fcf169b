/** What a task template has that Docker's does not, for clients that do not know of it. */
import type { TaskSpec } from "../service.ts";
import { isObject } from "./shape.ts";

const EXTENSIONS = ["DependsOn", "Schedule"] as const;

/**
 * `task` with those of `current` that the client that sent it as `raw` does not know, so that it cannot lose them. To do
 * without one, one sends it empty.
 */
export function keepExtensions(task: TaskSpec, raw: unknown, current: TaskSpec | undefined): TaskSpec {
  const kept = EXTENSIONS.filter((name) =>
    current?.[name] !== undefined && !(isObject(raw) && Object.hasOwn(raw, name))
  );
  return { ...task, ...Object.fromEntries(kept.map((name) => [name, current?.[name]])) };
}
