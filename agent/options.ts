/** The flags of `run-agent`: stable names, normalized, then validated with all problems at once. */
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import { CoveyError, type FieldProblem } from "../api/errors.ts";
import { withoutTokens } from "../api/handed_token.ts";
import type { RenewalLimits } from "./renewal.ts";

/** The cluster's port unless an address says otherwise (Docker Swarm's). */
const DEFAULT_PORT = 2377;
/** Docker's own socket. */
const DEFAULT_DOCKER_SOCKET = "/var/run/docker.sock";

/** Less than 1 MB in an idle month; docs/operations/device.md says what it costs. */
const METERED_LABELS = { "covey.heartbeat": "1h" };

/**
 * Growth of its memory beyond which an agent is started anew, in percent: below the tenth that a device has to spare for it,
 * and well above what it grows by without any cause and what differs from start to start (decision 0192).
 */
const RENEWAL_PERCENT = 7;
/** The least time between two renewals, in seconds. */
const RENEWAL_SECONDS = 900;

/** Options of an agent's process. Paths are absolute; addresses HOST:PORT. */
export interface AgentOptionsFromFlags {
  stateDir: string;
  join: string[];
  token: string | undefined;
  /** Empty: the machine's own name. */
  hostname: string;
  labels: Record<string, string>;
  /** IP address to which other nodes send what is for overlay networks; empty: the one that this node is known by. */
  dataPath: string;
  /** The local engine's socket, or `none`. */
  docker: string;
  /** Modules of further executors. */
  executors: string[];
  /** State folder of the manager beside this agent, whose identity it shares and never writes; else undefined. */
  identityDir: string | undefined;
  /** The private keys there are sealed; what with is the first line on standard input, from the manager. */
  identitySealed: boolean;
  /** Absolute path of the process executor's shim; undefined for the one beside its module. */
  shim: string | undefined;
  /** Which installed program this is, for an upgrade that waits to see it connected; else undefined. */
  programVersion: string | undefined;
  /** Absolute path of the networks' helper; undefined for the one beside its module, `none` for no networks. */
  networkHelper: string | undefined;
  /** What the device's own list says of its sockets, as the launcher has read it. */
  local: { group: number | undefined; services: string[] };
  /** Stop and remove the tasks, forget the cluster, and end. */
  leave: boolean;
  /** End when standard input does. */
  exitWithParent: boolean;
  /** When it ends to be started again by whoever keeps it; undefined where nobody does, and where it is not wanted. */
  renewal: RenewalLimits | undefined;
}

/** What `--help` prints. */
export const AGENT_USAGE = `Usage: run-agent [flags]

  --state-dir DIR            where the node keeps its state        (default .covey/agent)
  --join HOST:PORT[,...]     managers to join through
  --token-file FILE          holds a join token; needed until the node has joined (or --token - for standard
                             input, or the variable COVEY_JOIN_TOKEN; --token T shows it to other users)
  --hostname NAME            name of this node                     (default the machine's)
  --label k=v                engine label of this node; may be repeated
  --metered                  a link that costs by the byte: a heartbeat an hour, as label covey.heartbeat=1h
  --data-path-addr IP        address of this node for overlay networks
  --docker SOCKET|none       the local Docker Engine               (default ${DEFAULT_DOCKER_SOCKET})
  --executor FILE.ts         module of a further executor; may be repeated
  --renew-percent N          growth of its memory by which an installed agent, or one beside a manager, starts
                             anew; its tasks go on    (default ${RENEWAL_PERCENT}; 0: never)
  --renew-after SECONDS      and no sooner than this after its start              (default ${RENEWAL_SECONDS})
  --leave                    stop and remove this node's tasks, forget its cluster, and end; needs no manager
`;

const FLAGS = {
  "state-dir": { type: "string", default: ".covey/agent" },
  join: { type: "string", default: "" },
  token: { type: "string" },
  hostname: { type: "string", default: "" },
  label: { type: "string", multiple: true, default: [] as string[] },
  metered: { type: "boolean", default: false },
  "data-path-addr": { type: "string", default: "" },
  docker: { type: "string", default: DEFAULT_DOCKER_SOCKET },
  executor: { type: "string", multiple: true, default: [] as string[] },
  identity: { type: "string" },
  "identity-sealed": { type: "boolean", default: false },
  shim: { type: "string" },
  "program-version": { type: "string" },
  "network-helper": { type: "string" },
  "local-group": { type: "string" },
  "local-service": { type: "string", multiple: true, default: [] as string[] },
  leave: { type: "boolean", default: false },
  "exit-with-parent": { type: "boolean", default: false },
  kept: { type: "boolean", default: false },
  "renew-percent": { type: "string", default: `${RENEWAL_PERCENT}` },
  "renew-after": { type: "string", default: `${RENEWAL_SECONDS}` },
} as const;

/**
 * Parses the flags. Throws `invalid_argument` with every problem; `cwd` makes paths absolute, `token` is what the launcher has
 * read of `--token` and `--token-file`.
 */
export function parseAgentOptions(args: string[], cwd: string, token?: string): AgentOptionsFromFlags {
  const values = readFlags(args), percent = Number(values["renew-percent"]);
  const absolute = (path: string) => path.startsWith("/") ? path : `${cwd}/${path}`;
  const options: AgentOptionsFromFlags = {
    stateDir: absolute(values["state-dir"]),
    join: values.join.split(",").filter((address) => address !== "").map(withPort),
    token: token ?? values.token?.trim(),
    hostname: values.hostname,
    labels: { ...(values.metered && METERED_LABELS), ...Object.fromEntries(values.label.map(splitLabel)) },
    dataPath: values["data-path-addr"],
    docker: values.docker.replace(/^unix:\/\//, ""),
    executors: values.executor.map(absolute),
    identityDir: values.identity === undefined ? undefined : absolute(values.identity),
    identitySealed: values["identity-sealed"],
    shim: values.shim,
    programVersion: values["program-version"],
    networkHelper: values["network-helper"],
    local: {
      group: values["local-group"] === undefined ? undefined : Number(values["local-group"]),
      services: values["local-service"],
    },
    leave: values.leave,
    exitWithParent: values["exit-with-parent"],
    renewal: values.kept && percent !== 0
      ? { percent, afterMs: Number(values["renew-after"]) * 1000 }
      : undefined,
  };
  const problems = problemsOf(options, values.label);
  for (const flag of ["renew-percent", "renew-after"] as const) {
    if (!/^\d{1,7}(\.\d{1,3})?$/.test(values[flag])) {
      problems.push({ field: `--${flag}`, message: `want a number, current value is "${values[flag]}"` });
    }
  }
  if (problems.length > 0) throw CoveyError.invalid("start the agent", problems);
  return options;
}

function readFlags(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, strict: true }).values;
  } catch (thrown) {
    const why = withoutTokens(thrown instanceof Error ? thrown.message : String(thrown));
    throw new CoveyError("invalid_argument", `Cannot read the flags: ${why}; --help lists them`);
  }
}

function withPort(address: string): string {
  if (/^\[[^\]]+\]$/.test(address) || !address.includes(":")) return `${address}:${DEFAULT_PORT}`;
  return address.split(":").length > 2 && !address.startsWith("[") ? `[${address}]:${DEFAULT_PORT}` : address;
}

function splitLabel(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  return [pair.slice(0, equals), pair.slice(equals + 1)];
}

function problemsOf(options: AgentOptionsFromFlags, labels: readonly string[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const add = (field: string, message: string) => problems.push({ field, message });
  for (const address of options.join) {
    const port = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:,[\]]+):(\d{1,5})$/.exec(address)?.[1];
    if (port === undefined || Number(port) > 65535) {
      add("--join", `want HOST:PORT, current value is "${address}"`);
    }
  }
  const { group } = options.local;
  if (group !== undefined && !Number.isSafeInteger(group)) add("--local-group", "want the number of a group");
  if (options.dataPath !== "" && isIP(options.dataPath) === 0) {
    add("--data-path-addr", `want an IP address, current value is "${options.dataPath}"`);
  }
  if (options.leave && options.identityDir !== undefined) {
    add("--leave", "the manager beside this agent has to leave: covey swarm leave");
  }
  if (options.token !== undefined && options.join.length === 0) add("--join", "is required with --token");
  for (const label of labels) {
    if (!/^(?!__proto__=)[^=\s]+=/.test(label)) add("--label", `want k=v, current value is "${label}"`);
  }
  const paths = [["--state-dir", options.stateDir], ["--docker", options.docker], [
    "--identity",
    options.identityDir ?? "",
  ], ...options.executors.map((path) => ["--executor", path])] as [string, string][];
  for (const [flag, path] of paths) {
    if (/[\s,]/.test(path)) add(flag, `must not contain blanks or commas, current value is "${path}"`);
  }
  return problems;
}
