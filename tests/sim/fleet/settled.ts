/** What a fleet must come to, once nothing hinders it any more. */
import type { Service } from "../../../api/service.ts";
import { stagesOf } from "../../../api/rollout_labels.ts";
import type { Task } from "../../../api/task.ts";
import { rolloutView } from "../../../manager/control/rollouts.ts";
import { isWanted } from "../../../manager/task/task.ts";
import type { ReadView } from "../../../manager/store/store.ts";
import { isHeld } from "./checker.ts";
import { type FleetMember, SwappingDevice } from "./swapping_device.ts";
import { isBroken, kindOf, versionOf } from "./versions.ts";

/** What is not yet as it must be; undefined if all is. */
export function unsettled(
  view: ReadView,
  service: Service,
  devices: readonly FleetMember[],
): string | undefined {
  const status = service.UpdateStatus, rollout = status?.Rollout;
  const held = rollout !== undefined && isHeld(rollout);
  const expected = versionOf({ Spec: service.Spec.TaskTemplate });
  if (!held && rollout && rollout.State !== "completed" && !waitsForEver(view, service)) {
    return `the rollout is ${rollout.State}`;
  }
  for (const device of devices) {
    const problem = unsettledDevice(view, service, device, expected, held);
    if (problem !== undefined) return `${device.name} ${problem}`;
  }
  if (held || rollout === undefined) return undefined;
  const { Total, Returned, Deferred } = rolloutView(view, service, 0);
  // Devices on which it has failed before keep what they have.
  const apart = devices.filter((device) => device instanceof SwappingDevice && device.hasProvedBad(expected));
  return Deferred <= apart.length && Total + Returned.Total <= devices.length
    ? undefined
    : `of ${devices.length} devices ${Total} and ${Returned.Total} are counted, ${Deferred} are deferred`;
}

/** As with SwarmKit: a rollback that goes on whatever fails waits where its version hangs and has nothing before it. */
function waitsForEver(view: ReadView, { ID, Spec, UpdateStatus }: Service): boolean {
  return UpdateStatus!.State.startsWith("rollback") && Spec.RollbackConfig?.FailureAction === "continue" &&
    view.find("tasks", "serviceID", ID).some((task) =>
      isWanted(task) && task.Status.State === "starting" && task.Swap === undefined &&
      kindOf(versionOf(task)) === "hangs"
    );
}

function unsettledDevice(
  view: ReadView,
  service: Service,
  device: FleetMember,
  expected: string,
  held: boolean,
): string | undefined {
  const { name, running } = device;
  const tasks = view.find("tasks", "slot", `${service.ID}/${name}`);
  const wanted = tasks.filter(isWanted), last = wanted.at(-1);
  const node = view.get("nodes", name);
  // A program that kills its device does so again and again, where nothing takes it back.
  const goesBack = device instanceof SwappingDevice && device.wasHealthy;
  if (!goesBack && last !== undefined && wanted.some((task) => kindOf(versionOf(task)) === "kills")) {
    return undefined;
  }
  if (node?.Status.State !== "ready") return `is ${node?.Status.State}`;
  if (last === undefined) return "has no task";
  if (device instanceof SwappingDevice) return unsettledSwap(service, device, tasks, expected, held);
  const versions = wanted.map(versionOf), version = held ? versionOf(last) : expected;
  const isGood = kindOf(version) === "good" && !isBroken(version, name);
  // A new one that has not proved itself may stand beside an old one, for ever if nobody goes on.
  if (wanted.length > (held || !isGood ? 2 : 1)) return `has ${wanted.length} tasks`;
  if (held && isWithout(service, tasks) && versions.includes(expected)) {
    return `has ${expected}, which is held`;
  }
  // Where it fails, an old one may be all that is left.
  if (isGood && !versions.includes(version)) return `has ${versions} instead of ${version}`;
  return isGood && !running.includes(version) ? `runs ${running}, ${version} is wanted` : undefined;
}

/** A device that goes back by itself always ends with one version, which is healthy. */
function unsettledSwap(
  service: Service,
  device: SwappingDevice,
  tasks: readonly Task[],
  expected: string,
  held: boolean,
): string | undefined {
  const { name, running } = device, [version = ""] = running;
  const isHealthy = (each: string) => kindOf(each) === "good" && !isBroken(each, name);
  // Where the very first version fails, there is nothing to go back to.
  if (!device.wasHealthy) return undefined;
  // Who was drained and came back is given one anew, beside nothing to go back to.
  const anew = tasks.filter((task) => isWanted(task) && task.Swap === undefined);
  if (anew.some((task) => !isHealthy(versionOf(task)))) return undefined;
  if (running.length !== 1) return `runs ${running.length} versions: ${running}`;
  if (!isHealthy(version)) return `runs ${version}, which is not healthy there`;
  if (held && isWithout(service, tasks) && version === expected) return `has ${expected}, which is held`;
  const shallHave = !held && isHealthy(expected) && !device.hasProvedBad(expected);
  return shallHave && version !== expected ? `runs ${version} instead of ${expected}` : undefined;
}

/** True if the present rollout is by stages and has not got there. Without stages, restarts take the present spec. */
function isWithout({ Spec, UpdateStatus }: Service, tasks: readonly Task[]): boolean {
  if (stagesOf(Spec).length === 0 || UpdateStatus?.State.startsWith("rollback")) return false;
  const { Ended, Number } = UpdateStatus!.Rollout!;
  return !Ended && !tasks.some(({ Rollout }) => Rollout?.Number === Number);
}
