/** How often a node sends a heartbeat, and so how soon it counts as down. */
import { DAY_MS, parseGoDuration, toMs } from "../../api/duration.ts";
import type { Random } from "../../api/random.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import type { ReadView } from "../store/store.ts";

/** Heartbeat period where the cluster's settings name none. */
const DEFAULT_HEARTBEAT_MS = 5000;
/** The shortest period: agents that sent more often than this would flood by order of a setting. */
const MIN_HEARTBEAT_MS = 100;
/** The longest: a device that is not missed for three days is none that anybody looks after. */
const MAX_HEARTBEAT_MS = DAY_MS;
/** A period is drawn from plus or minus this share of the setting, so that agents spread out. */
const JITTER = 0.1;

/** A node's own period, a duration such as `30m`: for links that cost by the byte. The manager's label counts before the device's. */
const LABEL = "covey.heartbeat";

/** Milliseconds until the next heartbeat of a node, drawn anew each time. */
export function heartbeatPeriod(view: ReadView, nodeID: string, random: Random): number {
  const node = view.get("nodes", nodeID);
  const own = [node?.Spec.Labels, node?.Description?.Engine.Labels]
    .map((labels) => parseGoDuration(labels?.[LABEL] ?? "")).find((period) =>
      period !== undefined && period > 0
    );
  const setting = own ?? clusterOf(view)?.Spec.Dispatcher.HeartbeatPeriod;
  const period = setting
    ? Math.min(MAX_HEARTBEAT_MS, Math.max(MIN_HEARTBEAT_MS, toMs(setting)))
    : DEFAULT_HEARTBEAT_MS;
  return Math.round(period * (1 + JITTER * (2 * random.float() - 1)));
}
