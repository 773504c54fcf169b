import type { MemberChange, RaftConfig } from "../../../../manager/raft/mod.ts";
import { MemoryStorage } from "../../../../manager/raft/mod.ts";
import { Cluster, storageWith } from "./cluster.ts";
import { describeEntry, describeMessage, describeStatus } from "./describe.ts";

type Command = (cluster: Cluster, args: readonly string[]) => string | void;

const numbers = (args: readonly string[]) => args.map(Number);
const orAll = (cluster: Cluster, args: readonly string[]) =>
  args.length > 0 ? numbers(args) : [...cluster.members.keys()];
const outcome = (result: { ok: boolean; reason?: string; detail?: string }) =>
  result.ok ? undefined : `refused: ${result.reason}${result.detail ? `, ${result.detail}` : ""}`;

/** `electionTicks=7 preVote=false`, as far as it names config fields. */
function configOf(args: readonly string[]): Partial<RaftConfig> {
  const options = args.filter((arg) => /^[a-z]+[A-Z]\w+=/.test(arg)).map((arg) => arg.split("="));
  return Object.fromEntries(options.map(([key, value]) => [key, JSON.parse(value!)]));
}

function option(args: readonly string[], name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1);
}

const OPS = { "+": "add_voter", "~": "add_learner", "-": "remove" } as const;

function memberChange(text: string): MemberChange {
  return { op: OPS[text[0] as keyof typeof OPS], id: Number(text.slice(1)) };
}

/** The language of the traces. Every command's arguments are separated by spaces. */
const COMMANDS: Record<string, Command> = {
  /** add-nodes COUNT [config=value]: the voters of a new cluster */
  "add-nodes": (cluster, [count, ...options]) => {
    const ids = Array.from({ length: Number(count) }, (_, i) => i + 1);
    for (const id of ids) cluster.add(id, storageWith(ids), configOf(options));
  },
  /** add-node ID voters=1,2 [log=1,1,2] [term=2] [commit=3] [config=value]: one member with a log of these terms */
  "add-node": (cluster, [id, ...args]) => {
    const [voters, log] = [option(args, "voters"), option(args, "log")];
    const terms = log ? numbers(log.split(",")) : [];
    const commit = Number(option(args, "commit") ?? 1);
    const term = option(args, "term");
    const start = { terms, commit, ...(term ? { term: Number(term) } : {}) };
    cluster.add(
      Number(id),
      voters ? storageWith(numbers(voters.split(",")), start) : new MemoryStorage(),
      configOf(args),
    );
  },
  campaign: (cluster, [id]) => cluster.raw(Number(id)).campaign(),
  /** tick ID [COUNT] */
  tick: (cluster, [id, count = "1"]) => {
    for (let i = 0; i < Number(count); i++) cluster.raw(Number(id)).tick();
  },
  /** tick-all COUNT: everybody at the same pace, with everything done in between */
  "tick-all": (cluster, [count = "1"]) => {
    for (let i = 0; i < Number(count); i++) {
      for (const { raw } of cluster.members.values()) raw?.tick();
      cluster.stabilize();
    }
  },
  propose: (cluster, [id, ...texts]) =>
    outcome(cluster.raw(Number(id)).propose(texts.map((text) => new TextEncoder().encode(text)))),
  /** conf-change ID +2 ~3 -4: promote, make a learner, remove */
  "conf-change": (cluster, [id, ...changes]) =>
    outcome(cluster.raw(Number(id)).proposeConfChange(changes.map(memberChange))),
  "transfer-leadership": (cluster, [id, to]) =>
    outcome(cluster.raw(Number(id)).transferLeadership(Number(to))),
  read: (cluster, [id]) => outcome(cluster.raw(Number(id)).readIndex()),
  /** ready ID: what the core asks for, once */
  ready: (cluster, [id]) => cluster.process(Number(id)) ? undefined : "nothing to do",
  /** deliver [ID…]: messages on their way to these */
  deliver: (cluster, args) => cluster.deliver(orAll(cluster, args)) ? undefined : "nothing to deliver",
  stabilize: (cluster, args) => cluster.stabilize(orAll(cluster, args)),
  /** hold-disk ID: writes end with `persist` from now on */
  "hold-disk": (cluster, [id]) => void (cluster.member(Number(id)).diskHeld = true),
  "release-disk": (cluster, [id]) => {
    cluster.member(Number(id)).diskHeld = false;
    cluster.persist(Number(id));
  },
  /** hold-checkpoint ID: what it applies is lost with the next crash */
  "hold-checkpoint": (cluster, [id]) => void (cluster.member(Number(id)).checkpointHeld = true),
  persist: (cluster, [id]) => cluster.persist(Number(id)),
  /** cut 1>2 3>*: messages get lost in this direction */
  cut: (cluster, args) => {
    for (const link of args) {
      const [from, to] = link.split(">");
      const targets = to === "*" ? [...cluster.members.keys()] : [Number(to)];
      for (const target of targets) cluster.cut(Number(from), target);
    }
  },
  /** partition 1 2: these see only each other, and so do the rest */
  partition: (cluster, args) => {
    const side = numbers(args);
    for (const a of cluster.members.keys()) {
      for (const b of cluster.members.keys()) if (side.includes(a) !== side.includes(b)) cluster.cut(a, b);
    }
  },
  heal: (cluster) => cluster.mend(),
  /** drop [ID…]: messages on their way to these are lost */
  drop: (cluster, args) => {
    const ids = orAll(cluster, args);
    cluster.queue = cluster.queue.filter(({ to }) => !ids.includes(to));
  },
  /** repeat ID: messages on their way to it come twice */
  repeat: (cluster, [id]) => void cluster.queue.push(...cluster.queue.filter(({ to }) => to === Number(id))),
  /** keep ID: takes messages on their way to it aside; `late` brings them back, each time */
  keep: (cluster, [id]) => {
    LATE.set(cluster, cluster.queue.filter(({ to }) => to === Number(id)));
    cluster.queue = cluster.queue.filter(({ to }) => to !== Number(id));
  },
  late: (cluster) => void cluster.queue.push(...(LATE.get(cluster) ?? [])),
  queue: (cluster) => cluster.queue.map(describeMessage).join("\n") || "empty",
  crash: (cluster, [id]) => cluster.crash(Number(id)),
  restart: (cluster, [id]) => cluster.restart(Number(id)),
  /** compact ID INDEX: offers a snapshot of everything applied, and drops the log up to INDEX */
  compact: (cluster, [id, index]) => {
    const { storage } = cluster.member(Number(id));
    storage.offerSnapshot();
    storage.compact(Number(index));
  },
  unreachable: (cluster, [id, other]) => cluster.raw(Number(id)).reportUnreachable(Number(other)),
  lost: (cluster, [id, other]) => cluster.raw(Number(id)).reportLost(Number(other)),
  "snapshot-failed": (cluster, [id, other]) => cluster.raw(Number(id)).reportSnapshot(Number(other), false),
  status: (cluster, args) => orAll(cluster, args).flatMap((id) => describeStatus(cluster.raw(id))).join("\n"),
  log: (cluster, args) =>
    orAll(cluster, args).map((id) => {
      const { storage } = cluster.member(id);
      const [first, last] = [storage.firstIndex(), storage.lastIndex()];
      const entries = first <= last ? storage.entries(first, last + 1, Infinity) : [];
      return `${id}: ${entries.map(describeEntry).join(", ") || "empty"}`;
    }).join("\n"),
};

const LATE = new WeakMap<Cluster, Cluster["queue"]>();

/** Runs one command; a leading `quietly` keeps what happens to itself. */
function runCommand(cluster: Cluster, line: string): string[] {
  const words = line.trim().split(/\s+/);
  const quiet = words[0] === "quietly";
  const [name, ...args] = quiet ? words.slice(1) : words;
  const command = COMMANDS[name ?? ""];
  if (!command) throw new Error(`Cannot run the trace: unknown command ${name}`);
  cluster.lines.length = 0;
  let result: string | void;
  try {
    result = command(cluster, args);
  } catch (thrown) {
    result = `stops: ${(thrown as Error).message}`;
  }
  const lines = quiet ? [] : [...cluster.lines];
  if (result) lines.push(...result.split("\n"));
  return lines;
}

/**
 * Runs the commands of a trace (lines that start with `> `) and returns it with what really happened below each one.
 * Comments (`#`) and blank lines stay.
 */
export function runTrace(text: string): string {
  const cluster = new Cluster();
  const out: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("> ")) {
      out.push(
        line,
        ...runCommand(cluster, line.slice(2)).map((result) => `  ${result}`),
      );
    } else if (line.startsWith("#") || line === "") out.push(line);
  }
  return out.join("\n");
}
