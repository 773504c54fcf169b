/** How the rollouts of a run are set: drawn, read and checked as a client's would be. */
import type { ServiceSpec } from "../../../api/service.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import type { SeededRandom } from "../raft/random.ts";

const SECOND_NS = 1e9;
/** Longer than it takes to miss a device: in less, one that fell silent would prove its version. */
const MONITOR_NS = [40 * SECOND_NS, 60 * SECOND_NS];
/** The name of the service. */
export const SERVICE = "probe";
/** The devices that come first where a stage names them. */
export const EARLY = { label: "ring", value: "early", constraint: "node.labels.ring==early" };
/** Share of the devices that a rollout works on at once, at least: otherwise runs last for ever. */
const LEAST_PARALLELISM = 1 / 15;

/** Of ten devices of a site two are offline, as a rule. */
const BUDGETS = [
  "node.labels.site=3",
  "node.labels.site=4, node.labels.region=30%",
  "node.labels.region=40%",
];

/** Stages, each with what it may say for itself; the first one is the canary. */
const STAGES = [
  "5%, 100%",
  "2%, 30%, 100%",
  `${EARLY.constraint}, 50%, 100%`,
  "1%, 100%",
];

/** A spec of the service with `version`, by stages or as Docker's; `mayWait` for failure budgets; where the fleet `swaps`, its devices go back by themselves. */
export function specOf(
  version: string,
  devices: number,
  random: SeededRandom,
  mayWait: boolean,
  swaps = false,
): ServiceSpec {
  const least = Math.ceil(devices * LEAST_PARALLELISM);
  const labels: Record<string, string> = {};
  if (random.chance(0.75)) {
    const stages = labels["covey.rollout.stages"] = random.pick(STAGES);
    const count = stages.split(",").length;
    for (let nth = 2; nth <= count; nth++) {
      labels[`covey.rollout.stage.${nth}.failure-threshold`] = random.pick(["10%", "30%"]);
    }
    if (random.chance(0.3)) labels["covey.rollout.bake"] = random.pick(["20s", "90s"]);
    if (random.chance(0.3)) labels["covey.rollout.timeout"] = "8m";
    if (random.chance(0.3)) labels["covey.rollout.promotion"] = "manual";
  }
  if (swaps) labels["covey.rollout.device-rollback"] = random.pick(["20s", "90s"]);
  if (random.chance(0.5) && mayWait) labels["covey.rollout.budgets"] = random.pick(BUDGETS);
  if (random.chance(0.3)) labels["covey.rollout.max-returnee-failures"] = random.pick(["0", "2"]);
  return parseServiceSpec({
    Name: SERVICE,
    Labels: labels,
    Mode: { Global: {} },
    TaskTemplate: {
      Runtime: "process",
      ProcessSpec: { Command: "run", Args: [version] },
      RestartPolicy: { Condition: "any", Delay: random.pick([1, 5]) * SECOND_NS },
    },
    UpdateConfig: {
      Parallelism: random.pick([0, least, 4 * least]),
      Monitor: random.pick(MONITOR_NS),
      Delay: random.pick([0, 0, 2]) * SECOND_NS,
      Order: random.pick(["stop-first", "stop-first", "start-first"]),
      FailureAction: random.pick(["pause", "rollback"]),
      MaxFailureRatio: random.pick([0, 0.1]),
    },
    // In less, what lives for a while would prove itself.
    RollbackConfig: { Parallelism: 0, FailureAction: "continue", ...(swaps && { Monitor: MONITOR_NS[0] }) },
  });
}
