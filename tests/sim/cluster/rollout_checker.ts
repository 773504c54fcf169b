/** RO: a version that always fails, rolled out by stages, never runs on more devices than the first stage has. */
import type { MockScript } from "../../../executors/mock/mock_controller.ts";
import type { Task } from "../../../api/task.ts";
import type { Commit } from "../../../manager/store/store.ts";
import { isWanted } from "../../../manager/task/task.ts";
import { Violation } from "../raft/checker.ts";

/** Of so few devices, one percent is one. */
const CANARIES = 1;

/** The name of a bad version: what the payload of its tasks says. */
function badVersion(task: Task): string | undefined {
  const name = (task.Spec.GenericSpec?.Payload as MockScript | undefined)?.Error;
  return name?.startsWith("bad ") ? name : undefined;
}

/** Watches which bad versions are wanted where. */
export class RolloutChecker {
  /** Wanted tasks of each bad version, with their node. */
  readonly #wanted = new Map<string, Map<string, string>>();

  /** The first manager tells of a commit. */
  sees({ changes }: Commit): void {
    const touched = new Set<string>();
    for (const { table, object, action } of changes) {
      if (table !== "tasks") continue;
      const version = badVersion(object);
      if (version === undefined) continue;
      const tasks = this.#wanted.get(version) ?? new Map<string, string>();
      this.#wanted.set(version, tasks);
      if (action !== "remove" && isWanted(object)) tasks.set(object.ID, object.NodeID);
      else tasks.delete(object.ID);
      touched.add(version);
    }
    for (const version of touched) {
      const nodes = new Set(this.#wanted.get(version)!.values());
      if (nodes.size > CANARIES) {
        throw new Violation("RO", `bad version ${version} is wanted on ${[...nodes].join(" and ")}`);
      }
    }
  }
}
