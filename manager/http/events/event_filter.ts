/** Which events a client of `/events` wants. */
import { CoveyError } from "../../../api/errors.ts";
import { type Filters, matchesExactly, matchesLabels } from "../../control/filters.ts";
import type { SwarmEvent } from "./swarm_event.ts";

/** Filters of `GET /events`. */
export const EVENT_FILTERS = [
  "config",
  "container",
  "daemon",
  "event",
  "image",
  "label",
  "network",
  "node",
  "plugin",
  "scope",
  "secret",
  "service",
  "type",
  "volume",
];

/** Filters that name an object of another kind: no event of ours is about one. */
const OTHER_KINDS = ["container", "daemon", "image", "plugin", "volume"];
/** Filters that name an object of a kind that events tell of. */
const KINDS = ["node", "service", "secret", "config", "network"] as const;

/** True if `event` passes `filters`. */
export function wantsEvent(filters: Filters, event: SwarmEvent): boolean {
  const { ID, Attributes } = event.Actor;
  const about = (kind: typeof KINDS[number]) => {
    const wanted = filters.get(kind);
    return wanted === undefined ||
      (event.Type === kind && wanted.some((each) => each === ID || each === Attributes.name));
  };
  return !OTHER_KINDS.some((kind) => filters.has(kind)) &&
    KINDS.every(about) &&
    matchesExactly(filters, "type", event.Type) &&
    matchesExactly(filters, "event", event.Action) &&
    matchesExactly(filters, "scope", "swarm") &&
    matchesLabels(filters, "label", Attributes);
}

/** `seconds[.nanoseconds]` as milliseconds; undefined if absent. Throws `invalid_argument`. */
export function timeParameter(name: string, raw: string | undefined): number | undefined {
  if (raw === undefined || raw === "") return undefined;
  if (/^\d{1,12}(\.\d{1,9})?$/.test(raw)) return Number(raw) * 1000;
  throw new CoveyError("invalid_argument", `invalid value for ${name}: ${raw}`);
}
