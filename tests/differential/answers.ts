/** What a side answered, without what differs between any two swarms, and where two answers differ. */
import { parseExact } from "../../api/exact_json.ts";
import { normalizeDocker } from "../support/normalize_docker.ts";
import type { BareAnswer } from "../support/parity.ts";
import type { Step } from "./requests.ts";

/** One place where two answers differ; `at` is `status`, `type` or a path into the body such as `.Spec.Labels`. */
export interface Divergence {
  at: string;
  docker: unknown;
  covey: unknown;
}

/** A request and how the two answers differ. */
export interface Exchange {
  step: Step;
  docker: BareAnswer;
  covey: BareAnswer;
  divergences: Divergence[];
}

/** A name that was made up for a service without one; those that are given have no underscore. */
const MADE_UP = /"Name": ?"[a-z]+_[a-z]+\d?"/g;
/** A port that was chosen, of 30000 to 32767: which one depends on those before. */
const CHOSEN_PORT = /("PublishedPort": ?)3[0-2]\d{3}\b/g;
/** A time that says there was none is no chance. */
const TIME_ZERO = /"0001-01-01T00:00:00Z"/g;

/** Where two answers to a request differ. */
export function divergences(step: Step, docker: BareAnswer, covey: BareAnswer): Divergence[] {
  const found: Divergence[] = [];
  if (docker.status !== covey.status) {
    found.push({ at: "status", docker: docker.status, covey: covey.status });
  }
  if (docker.type !== covey.type) found.push({ at: "type", docker: docker.type, covey: covey.type });
  compare("", body(step, docker), body(step, covey), found);
  return found;
}

function body(step: Step, { text }: BareAnswer): unknown {
  const masked = normalizeDocker(
    text.replaceAll(TIME_ZERO, '"<never>"').replaceAll(MADE_UP, '"Name":"<made up>"')
      .replaceAll(CHOSEN_PORT, '$1"<chosen>"'),
  );
  let value: unknown;
  try {
    // `normalizeDocker` writes versions and numbers of processes as bare words.
    value = parseExact(masked.replaceAll(/: ?<(version|number)>/g, ':"<$1>"'));
  } catch {
    return masked;
  }
  // Of all that an engine tells of itself only the swarm is compared.
  if (step.path.startsWith("/info") && typeof value === "object" && value !== null && "Swarm" in value) {
    return value.Swarm;
  }
  // Lists are in the order of IDs, which are chance.
  if (step.method === "GET" && Array.isArray(value)) return sorted(value.filter(stays));
  return value;
}

/** When a task goes whose service is gone, maybe one of an earlier sequence, is chance. */
function stays(listed: { DesiredState?: string } | null): boolean {
  return listed?.DesiredState !== "remove";
}

/** In the order of what tells objects apart; whether the slot 0 is shown, which Docker leaves out, is no matter of it. */
function sorted(list: unknown[]): unknown[] {
  const keyed = list.map((each) => [orderOf(each), each] as const);
  return keyed.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, each]) => each);
}

function orderOf(listed: unknown): string {
  const { Name, Slot = 0, Spec } = (listed ?? {}) as {
    Name?: string;
    Slot?: number;
    Spec?: { Name?: string };
  };
  return text([Name ?? Spec?.Name ?? "", Slot, ...[Spec, listed].map(inOrder)]).replace('"Slot":0,', "");
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, inOrder(value[key])]));
}

/** Lists whose members count together: what one side leaves out shifts those after it. */
const WHOLE = /\.VirtualIPs$/;

function compare(at: string, docker: unknown, covey: unknown, found: Divergence[]): void {
  if (WHOLE.test(at)) {
    if (text(docker) !== text(covey)) found.push({ at, docker, covey });
  } else if (isObject(docker) && isObject(covey) && Array.isArray(docker) === Array.isArray(covey)) {
    for (const key of new Set([...Object.keys(docker), ...Object.keys(covey)])) {
      compare(Array.isArray(docker) ? `${at}[${key}]` : `${at}.${key}`, docker[key], covey[key], found);
    }
  } else if (docker !== covey) found.push({ at, docker, covey });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** `value` as people read it; what is not there is "nothing". */
export function text(value: unknown): string {
  if (value === undefined) return "nothing";
  return JSON.stringify(value, (_key, each) => typeof each === "bigint" ? String(each) : each);
}

/** The kind of a divergence: two that only differ in names and numbers are of one kind. */
export function kindOf({ step, docker, covey }: Exchange, { at, ...sides }: Divergence): string {
  const path = step.path.split("?", 1)[0]!
    .replace(/^\/(services|nodes|tasks|secrets|configs)\/(?!create$)[^/]+/, "/$1/ID");
  const place = at.replaceAll(/\[\d+\]/g, "[]");
  const message = (answer: BareAnswer) => answer.status < 400 ? "" : ` ${answer.text}`;
  const seen = at === "status"
    ? [docker.status + message(docker), covey.status + message(covey)]
    : [text(sides.docker), text(sides.covey)];
  const value = (each: string) =>
    normalizeDocker(each).replaceAll(/\d+/g, "0").replaceAll(/'[^']*'|\\"[^"]*"/g, "''").slice(0, 160);
  return `${step.method} ${path} ${place}: ${seen.map(value).join(" -> ")}`;
}
