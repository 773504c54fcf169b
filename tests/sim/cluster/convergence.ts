/** What a healed cluster must come to: every service has its tasks, every device runs what it shall and nothing else. */
import { RUNTIME_MOCK } from "../../../executors/mock/mock_executor.ts";
import type { MockScript } from "../../../executors/mock/mock_controller.ts";
import { isJob, type Service } from "../../../api/service.ts";
import { isCompletedJob, slotKey, type Task } from "../../../api/task.ts";
import { slotsToStart } from "../../../manager/orchestrator/jobs/job.ts";
import { isLeftover, isOfIteration, isWanted } from "../../../manager/task/task.ts";
import type { ReadView } from "../../../manager/store/store.ts";
import { restAfter } from "./intent_checker.ts";
import type { SimAgent } from "./agent.ts";

/** What is not yet as it must be; undefined if all is. */
export function unsettled(state: ReadView, agents: readonly SimAgent[]): string | undefined {
  for (const { name } of agents) {
    const node = state.get("nodes", name);
    if (node?.Status.State !== "ready") return `node ${name} is ${node?.Status.State}`;
  }
  const services = state.all("services").filter(({ Spec }) => Spec.TaskTemplate.Runtime === RUNTIME_MOCK);
  for (const service of services) {
    const problem = unsettledService(state, service, agents.length);
    if (problem) return `service ${service.Spec.Name}: ${problem}`;
  }
  return strayProgram(state, agents);
}

function unsettledService(state: ReadView, service: Service, nodes: number): string | undefined {
  const tasks = state.find("tasks", "serviceID", service.ID);
  if (isJob(service.Spec)) return unsettledJob(service, tasks, nodes);
  const wanted = tasks.filter(isWanted);
  const { Mode } = service.Spec;
  const expected = "Replicated" in Mode ? Mode.Replicated.Replicas : nodes;
  const slots = new Set(wanted.map(slotKey));
  let resting = 0;
  for (const [key, ofSlot] of Map.groupBy(tasks, slotKey)) {
    if (!slots.has(key) && restAfter(ofSlot.at(-1)!) !== undefined) resting++;
  }
  if (slots.size + resting !== expected || wanted.length + resting !== expected) {
    return `${wanted.length} tasks in ${slots.size} places of ${expected}, ${resting} at rest`;
  }
  // Programs that end by themselves are always somewhere between two runs.
  const idle = wanted.find((task) => goesOn(task) && task.Status.State !== "running");
  return idle && `task ${idle.ID} is ${idle.Status.State}, ${idle.Status.Err ?? idle.Status.Message}`;
}

/** A job has begun, completed or given up whatever it may, and what fails for ever holds up what is to come after. */
function unsettledJob(service: Service, tasks: readonly Task[], nodes: number): string | undefined {
  const { Mode } = service.Spec;
  if (tasks.some((task) => isLeftover(service, task))) return "an earlier run goes on";
  const present = tasks.filter((task) => isOfIteration(service, task));
  const places = new Set(present.map(slotKey)).size;
  const working = present.filter((task) => isWanted(task) && !isCompletedJob(task)).length;
  const isEnough = "ReplicatedJob" in Mode
    ? slotsToStart(Mode.ReplicatedJob, present).length === 0 && working <= Mode.ReplicatedJob.MaxConcurrent &&
      places <= Mode.ReplicatedJob.TotalCompletions
    : places === nodes;
  return isEnough ? undefined : `${present.length} tasks in ${places} places, ${working} at work`;
}

/** A program that nobody wants, or one missing. */
function strayProgram(state: ReadView, agents: readonly SimAgent[]): string | undefined {
  for (const { name, device } of agents) {
    for (const id of device.running) {
      const task = state.get("tasks", id);
      if (!task || !isWanted(task)) return `${name} still runs task ${id}`;
    }
    for (const task of state.find("tasks", "nodeID", name)) {
      if (!isWanted(task) || !goesOn(task) || device.running.includes(task.ID)) continue;
      return `${name} does not run task ${task.ID}, which is ${task.Status.State}`;
    }
  }
  return undefined;
}

function goesOn(task: Task): boolean {
  return (task.Spec.GenericSpec?.Payload as MockScript | undefined)?.RunMs === undefined;
}
