/** Many sequences by seed; whatever differs is made small and told once. */
import fc from "fast-check";
import type { Sides } from "../support/parity.ts";
import { type Divergence, type Exchange, kindOf, text } from "./answers.ts";
import { play, type Played, type PlayOptions } from "./play.ts";
import { sequences, type Step } from "./requests.ts";

/** Longest time to make one failing sequence small. */
const SHRINK_LIMIT_MS = 8_000;
/** Longest wait for what comes about after an answer; while a sequence is made small, the wait is often in vain. */
const SETTLE_MS = 2_000, SETTLE_WHILE_SHRINKING_MS = 200;

/** How far to go. */
export interface FuzzOptions {
  /** Least number of requests. */
  requests: number;
  seed: number;
}

/** What came of it. */
export interface Report {
  requests: number;
  /** One text for each kind of difference that nothing explains. */
  findings: string[];
  /** Kinds of differences that were on the list, by reason: what an exemption really lets pass. */
  explained: Map<string, Set<string>>;
}

/** Plays sequences until `requests` are asked; `tell` gets each finding at once. */
export async function fuzz(
  sides: Sides,
  { requests, seed }: FuzzOptions,
  tell: (finding: string) => void = () => {},
): Promise<Report> {
  const report: Report = { requests: 0, findings: [], explained: new Map() };
  const known = new Set<string>();
  const isKnown = (exchange: Exchange, divergence: Divergence) => known.has(kindOf(exchange, divergence));
  for (let nth = 0; report.requests < requests; nth++) {
    const found = await firstFailure(sides, seed + nth, isKnown, report);
    if (found === undefined) continue;
    for (const each of found.exchange.divergences) known.add(kindOf(found.exchange, each));
    const finding = describe(seed + nth, found.steps, found.exchange);
    report.findings.push(finding);
    tell(finding);
  }
  return report;
}

/** What a sequence led to that could not be played. */
const NOTHING: Played = { requests: 0 };

interface Failure {
  steps: Step[];
  exchange: Exchange;
}

/** Plays the sequence of one seed; if something differs, the smallest sequence in which the same kind still does. */
async function firstFailure(
  sides: Sides,
  seed: number,
  isKnown: PlayOptions["isKnown"],
  report: Report,
): Promise<Failure | undefined> {
  let failure: Failure | undefined, kind = "", limit = Infinity, broken: unknown;
  const onExplained: PlayOptions["onExplained"] = (exchange, divergence, reason) => {
    report.explained.set(
      reason,
      (report.explained.get(reason) ?? new Set()).add(kindOf(exchange, divergence)),
    );
  };
  const property = fc.asyncProperty(sequences, async (steps) => {
    // Not fast-check's own limit: it would leave a sequence that is under way to itself.
    if (performance.now() > limit) return true;
    const settleMs = failure === undefined ? SETTLE_MS : SETTLE_WHILE_SHRINKING_MS;
    const played = await play(sides, steps, { isKnown, settleMs, onExplained }).catch((thrown) => {
      broken ??= thrown;
      return NOTHING;
    });
    if (failure === undefined) report.requests += played.requests;
    const { failed } = played;
    if (failed === undefined) return true;
    const found = kindOf(failed, failed.divergences[0]!);
    if (failure !== undefined && found !== kind) return true;
    kind = found;
    if (failure === undefined) limit = performance.now() + SHRINK_LIMIT_MS;
    failure = { steps: steps.slice(0, played.requests), exchange: failed };
    return false;
  });
  await fc.check(property, { seed, numRuns: 1 });
  if (broken !== undefined) throw broken;
  return failure;
}

function describe(seed: number, steps: readonly Step[], { divergences }: Exchange): string {
  const requests = steps.map(({ method, path, body, version }) =>
    `  ${method} ${version ? `/v${version}` : ""}${decodeURIComponent(path)}${
      body === undefined ? "" : ` ${body}`
    }`
  );
  const places = divergences.map(({ at, docker, covey }) =>
    `  ${at || "(body)"}\n    Docker: ${text(docker)}\n    Covey:  ${text(covey)}`
  );
  return [`--seed ${seed}`, ...requests, ...places].join("\n");
}
