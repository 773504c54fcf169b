/** Plays a sequence on both sides at once. */
import { parseExact } from "../../api/exact_json.ts";
import type { BareAnswer, Side, Sides } from "../support/parity.ts";
import { type Divergence, divergences, type Exchange } from "./answers.ts";
import { HUNG_UP, reasonOf } from "./differences.ts";
import type { Step } from "./requests.ts";
import { write } from "./schema_values.ts";

const POLL_MS = 25;
/** Tasks that have not come by then do not come, and differ. */
const TASKS_LIMIT_MS = 1_000;
/** Three times in a row nothing overtakes. */
const MAX_TRIES = 3;

/** What a sequence led to. */
export interface Played {
  /** How many requests each side was asked. */
  requests: number;
  /** The exchange with divergences that nothing explains, if any; the sequence ends there. */
  failed?: Exchange;
}

/** How to play. */
export interface PlayOptions {
  /** Longest wait for what comes about after an answer, such as the tasks of a service. */
  settleMs: number;
  /** Divergences that need not be told again. */
  isKnown(exchange: Exchange, divergence: Divergence): boolean;
  /** Gets those that are on the list of differences. */
  onExplained?(exchange: Exchange, divergence: Divergence, reason: string): void;
}

/** Plays `steps`, then leaves both sides as they were before. */
export async function play(
  sides: Sides,
  steps: readonly Step[],
  options: PlayOptions,
): Promise<Played> {
  const played: Played = { requests: 0 };
  try {
    for (const step of steps) {
      played.requests++;
      const exchange = await ask(sides, step, options);
      if (exchange.divergences.length === 0) {
        if (leavesOutHistory(step)) return played;
        await settle(sides, step);
        continue;
      }
      const unexplained = unexplainedOf(exchange, options);
      tellExplained(exchange, options);
      if (unexplained.length > 0) return { ...played, failed: { ...exchange, divergences: unexplained } };
      // From here on the two sides may not be in the same state.
      if (step.method !== "GET") return played;
    }
    return played;
  } finally {
    await Promise.allSettled([clean(sides.docker, steps), clean(sides.covey, steps)]).then(throwFirst);
  }
}

/** Docker then keeps no task that was replaced, and we as many as at first, which shows in every later list of tasks. */
function leavesOutHistory({ path, body = "" }: Step): boolean {
  return path.startsWith("/swarm/update") &&
    !/"TaskHistoryRetentionLimit":(?!null)|~spec\.swarm~/i.test(body);
}

function throwFirst(results: PromiseSettledResult<void>[]): void {
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function unexplainedOf(exchange: Exchange, { isKnown }: PlayOptions): Divergence[] {
  return exchange.divergences.filter((each) =>
    !isKnown(exchange, each) && reasonOf(exchange, each) === undefined
  );
}

function tellExplained(exchange: Exchange, { onExplained }: PlayOptions): void {
  for (const each of exchange.divergences) {
    const reason = reasonOf(exchange, each);
    if (reason !== undefined) onExplained?.(exchange, each, reason);
  }
}

/**
 * Waits until both sides have the tasks of a service that was just changed: whether the next change comes before is chance,
 * and shows in which tasks were.
 */
async function settle({ docker, covey }: Sides, { method, path }: Step): Promise<void> {
  if (method !== "POST" || !path.startsWith("/services/")) return;
  const limit = performance.now() + TASKS_LIMIT_MS;
  while (performance.now() < limit) {
    if ((await Promise.all([docker, covey].map(hasItsTasks))).every(Boolean)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function hasItsTasks(side: Side): Promise<boolean> {
  const filters = (object: object) => encodeURIComponent(JSON.stringify(object));
  const services: Found[] = JSON.parse((await side.send("GET", "/services")).text);
  for (const { ID, Spec } of services) {
    const asked = filters({ service: [ID], "_up-to-date": ["true"], "desired-state": ["running"] });
    const tasks: Found[] = JSON.parse((await side.send("GET", `/tasks?filters=${asked}`)).text);
    if (tasks.length < (Spec?.Mode.Replicated?.Replicas ?? 0)) return false;
  }
  return true;
}

/** A GET is asked again for a while as long as something unexpected differs. */
async function ask(sides: Sides, step: Step, options: PlayOptions): Promise<Exchange> {
  const limit = performance.now() + options.settleMs;
  for (;;) {
    const [docker, covey] = await Promise.all([send(sides.docker, step), send(sides.covey, step)]);
    const exchange = { step, docker, covey, divergences: divergences(step, docker, covey) };
    const settled = unexplainedOf(exchange, options).length === 0;
    if (settled || step.method !== "GET" || performance.now() > limit) return exchange;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A swarm's object changes also on its own: whoever was overtaken reads it again, as clients do. */
async function send(side: Side, { method, path, body, version }: Step): Promise<BareAnswer> {
  for (let tries = MAX_TRIES;; tries--) {
    const [filledPath, filledBody] = [await fill(side, path), body && await fill(side, body)];
    const answer = await withoutLeftovers(
      side,
      path,
      await side.send(method, filledPath, filledBody, version).catch(hungUp),
    );
    const overtaken = path.includes("~version.") && answer.text.includes("update out of sequence");
    if (!overtaken || tries === 1) return answer;
  }
}

/** Docker never removes what a job has left that ran nowhere, also once its service is gone: no list of tasks is about that. */
async function withoutLeftovers(side: Side, path: string, answer: BareAnswer): Promise<BareAnswer> {
  if (!/^\/tasks(?:\?|$)/.test(path) || answer.status !== 200) return answer;
  const services: Found[] = JSON.parse((await side.send("GET", "/services")).text);
  const present = new Set(services.map(({ ID }) => ID));
  // As a text that keeps whole numbers as they are.
  const tasks = parseExact(answer.text) as { ServiceID?: string }[] | null;
  if (tasks === null || tasks.every(({ ServiceID }) => present.has(ServiceID))) return answer;
  return { ...answer, text: write(tasks.filter(({ ServiceID }) => present.has(ServiceID))) };
}

/** Whoever breaks down over a request closes the connection: that is an answer too. */
function hungUp(thrown: Error): BareAnswer {
  if (!/connection closed before/.test(String(thrown.cause))) throw thrown;
  return { status: HUNG_UP, type: "", text: "" };
}

/** Puts in what only this side knows; see {@linkcode Step}. */
async function fill(side: Side, text: string): Promise<string> {
  let filled = text;
  for (const [word, kind, of] of text.matchAll(/~(service|id|version|spec|task|hostname)\.?([\w-]*)~/g)) {
    filled = filled.replace(word, await look(side, kind!, of!));
  }
  return filled;
}

interface Found {
  ID?: string;
  Slot?: number;
  Version?: { Index: number };
  Spec?: { Mode: { Replicated?: { Replicas: number } } };
}

async function look(side: Side, kind: string, of: string): Promise<string> {
  if (kind === "hostname") return Deno.hostname();
  const path = pathOf(of);
  const answer: Found | Found[] = JSON.parse((await side.send("GET", path)).text);
  const found = Array.isArray(answer) ? answer[0] ?? {} : answer;
  switch (kind) {
    case "service":
    case "id":
      return found.ID ?? "nothing";
    case "version":
      return String(found.Version?.Index ?? 1);
    case "spec":
      return JSON.stringify(found.Spec ?? {});
    default: {
      const filters = encodeURIComponent(JSON.stringify({ service: [of], "desired-state": ["running"] }));
      const tasks: Found[] | Found = JSON.parse((await side.send("GET", `/tasks?filters=${filters}`)).text);
      // Their order is that of IDs; the first slot's is one and the same on both sides. No list is there without the service.
      return (Array.isArray(tasks) && tasks.find(({ Slot }) => Slot === 1)?.ID) || "nothing";
    }
  }
}

function pathOf(of: string): string {
  if (of === "node") return "/nodes";
  if (of === "swarm") return "/swarm";
  return `/${/^(?:secret|config)(?=-)/.exec(of)?.[0] ?? "service"}s/${of}`;
}

/** What is left out is 0 with Docker, and what begins a swarm with us. */
const DEFAULT_SWARM = JSON.stringify({
  Name: "default",
  Orchestration: { TaskHistoryRetentionLimit: 5 },
  Raft: { SnapshotInterval: 10_000, LogEntriesForSlowFollowers: 500, ElectionTick: 10, HeartbeatTick: 1 },
  Dispatcher: { HeartbeatPeriod: 5_000_000_000 },
  CAConfig: { NodeCertExpiry: 7_776_000_000_000_000 },
});
const DEFAULT_NODE = JSON.stringify({ Role: "manager", Availability: "active" });

async function clean(side: Side, steps: readonly Step[]): Promise<void> {
  const changed = (start: string) =>
    steps.some(({ path, method }) => method === "POST" && path.startsWith(start));
  const services: Found[] = JSON.parse((await side.send("GET", "/services")).text);
  for (const { ID } of services) await side.send("DELETE", `/services/${ID}`);
  for (const kind of ["secrets", "configs"].filter((each) => changed(`/${each}/`))) {
    const payloads: Found[] = JSON.parse((await side.send("GET", `/${kind}`)).text);
    for (const { ID } of payloads) await side.send("DELETE", `/${kind}/${ID}`);
  }
  if (changed("/networks/")) await removeNetworks(side);
  if (changed("/swarm/update")) await restore(side, "swarm", DEFAULT_SWARM);
  if (changed("/nodes/")) await restore(side, "node", DEFAULT_NODE);
}

/** Those that every engine has, and the one that Docker makes for ingress. */
const KEPT_NETWORKS = /^(?:host|none|bridge|ingress|docker_gwbridge)$/;

/** Those of a service that was just removed are in use until its tasks have ended. */
async function removeNetworks(side: Side): Promise<void> {
  const found: { Id: string; Name: string }[] = JSON.parse((await side.send("GET", "/networks")).text);
  for (const { Id } of found.filter(({ Name }) => !KEPT_NETWORKS.test(Name))) {
    for (let tries = MAX_TRIES; tries > 0; tries--) {
      if ((await side.send("DELETE", `/networks/${Id}`)).status !== 400) break;
      await new Promise((resolve) => setTimeout(resolve, TASKS_LIMIT_MS));
    }
  }
}

async function restore(side: Side, of: "swarm" | "node", body: string): Promise<void> {
  const path = of === "swarm" ? "/swarm/update" : "/nodes/~service.node~/update";
  const { status, text } = await send(side, {
    method: "POST",
    path: `${path}?version=~version.${of}~`,
    body,
  });
  if (status !== 200) throw new Error(`the ${of} could not be put back: ${status} ${text}`);
}
