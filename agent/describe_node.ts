/** Puts together what a node says of itself from what its executors say. */
import { CoveyError, type FieldProblem } from "../api/errors.ts";
import type { NodeDescription } from "../api/node.ts";
import { can, type Executor, type ExecutorDescription } from "../executors/executor.ts";
import type { Resources } from "../api/objects.ts";
import { orAbort } from "../api/or_abort.ts";
import { parseNodeDescription } from "../api/validate/node_description.ts";

/** What the agent itself knows of its node; an executor's word counts more, but for the host name. */
export interface NodeFacts {
  /** Empty if only the executors know. */
  Hostname: string;
  Platform: NodeDescription["Platform"];
  Resources: NodeDescription["Resources"];
  /** Version of the agent, shown where no engine has a version. */
  Version: string;
  /** The installed program that the agent is, if it is one that can be exchanged for another. */
  Program?: string;
  Labels: Record<string, string>;
  /** Whether nothing on this device could become a manager. */
  AgentOnly?: boolean;
  /** See {@linkcode NodeDescription.DataPathAddr}. */
  DataPathAddr?: string;
  /** Read anew each time: it changes with every renewal under a new root. */
  tlsInfo?: () => NodeDescription["TLSInfo"];
}

/** In which memory is told. */
const MIB = 2 ** 20;

/** An executor that takes longer than this to describe itself counts as not working now. */
export const DESCRIBE_TIMEOUT_MS = 5000;

/** What one executor says, and whether it can tell running programs of new secrets and configs. */
interface Part {
  runtime: string;
  description: ExecutorDescription;
  reloads: boolean;
}

/** Asks all executors; the runtime of one that cannot work now is listed as missing, with the reason. */
export async function describeNode(
  facts: NodeFacts,
  executors: readonly Executor[],
  signal: AbortSignal,
): Promise<NodeDescription> {
  const working: Part[] = [];
  const MissingRuntimes: Record<string, string> = {};
  await Promise.all(executors.map(async (executor) => {
    const { runtime } = executor;
    try {
      // An executor may be anybody's: one that throws, or never answers, must not keep the others from working.
      const description = await orAbort(Promise.try(() => executor.describe(signal)), signal);
      working.push({ runtime, description: checked(description), reloads: can(executor, "reload") });
    } catch (thrown) {
      MissingRuntimes[runtime] = CoveyError.from(thrown).message;
    }
  }));
  // In the executors' order, whoever answered first.
  const parts = executors.flatMap(({ runtime }) => working.filter((part) => part.runtime === runtime));
  const description = { ...merge(facts, parts), ...await overlayOf(executors, working, signal) };
  return Object.keys(MissingRuntimes).length > 0 ? { ...description, MissingRuntimes } : description;
}

/** Which of the runtimes that work can be attached to overlay networks, and why not the others that could. */
async function overlayOf(
  executors: readonly Executor[],
  working: readonly { runtime: string }[],
  signal: AbortSignal,
): Promise<Pick<NodeDescription, "OverlayRuntimes" | "MissingOverlay">> {
  const able: string[] = [], missing = new Map<string, string[]>();
  await Promise.all(executors.map(async (executor) => {
    const { runtime } = executor;
    if (!can(executor, "overlay") || !working.some((part) => part.runtime === runtime)) return;
    try {
      await orAbort(Promise.try(() => executor.checkOverlay(signal)), signal);
      able.push(runtime);
    } catch (thrown) {
      const { message } = CoveyError.from(thrown);
      missing.set(message, [...missing.get(message) ?? [], runtime].sort());
    }
  }));
  const reasons = [...missing].map(([message, runtimes]) => `${runtimes.join(", ")}: ${message}`).sort();
  return {
    ...(able.length > 0 && { OverlayRuntimes: able.sort() }),
    ...(reasons.length > 0 && { MissingOverlay: reasons.join("; ") }),
  };
}

/** What no manager would take keeps one executor from working, not the node from its cluster. */
function checked(description: ExecutorDescription): ExecutorDescription {
  const problems: FieldProblem[] = [];
  parseNodeDescription(description, "", problems);
  if (problems.length > 0) throw CoveyError.invalid("use what the executor says of itself", problems);
  return description;
}

function merge(
  facts: NodeFacts,
  parts: Part[],
): NodeDescription {
  const all = parts.map((part) => part.description);
  const version = all.find((part) => part.Engine?.EngineVersion !== undefined)?.Engine?.EngineVersion;
  const labels = Object.assign({}, ...all.map((part) => part.Engine?.Labels ?? {}), facts.Labels);
  const tlsInfo = facts.tlsInfo?.();
  const Platform = all.find((part) => part.Platform)?.Platform ?? facts.Platform;
  const Resources: Resources = Object.assign({}, facts.Resources, ...all.map((part) => part.Resources ?? {}));
  const known = {
    ...(facts.Program !== undefined && { agent: [facts.Program] }),
    arch: [Platform.Architecture],
    memory: [String(Math.round((Resources.MemoryBytes ?? 0) / MIB))],
  };
  const reloads = parts.filter((part) => part.reloads).map((part) => part.runtime).sort();
  return {
    Hostname: facts.Hostname || (all.find((part) => part.Hostname)?.Hostname ?? ""),
    Platform,
    Resources,
    Engine: {
      EngineVersion: version ?? facts.Version,
      Labels: labels,
      Plugins: all.flatMap((part) => part.Engine?.Plugins ?? []),
    },
    Runtimes: parts.map((part) => part.runtime).sort(),
    ...(facts.DataPathAddr ? { DataPathAddr: facts.DataPathAddr } : {}),
    Facts: Object.assign(known, ...all.map((part) => part.Facts ?? {})),
    ...(reloads.length > 0 ? { Reloads: reloads } : {}),
    Swaps: true,
    Schedules: true,
    ...(facts.AgentOnly ? { AgentOnly: true } : {}),
    ...(tlsInfo ? { TLSInfo: tlsInfo } : {}),
  };
}
