/** The flags of `run-manager`: stable names, normalized, then validated with all problems at once. */
import { parseArgs } from "node:util";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { withoutTokens } from "../../api/handed_token.ts";
import type { Skip } from "../consensus/member/mod.ts";

/** The cluster's port unless a flag says otherwise (Docker Swarm's). */
const DEFAULT_PORT = 2377;

/** Where a node listens unless a flag or the API says otherwise. */
export const DEFAULT_LISTEN = `0.0.0.0:${DEFAULT_PORT}`;

/** Options of a manager's process. Paths are absolute; addresses HOST:PORT. */
export interface ManagerOptions {
  stateDir: string;
  /** Undefined: where the node listened last, at first {@linkcode DEFAULT_LISTEN}. */
  listen: string | undefined;
  /** HOST:PORT that other nodes reach this one at; undefined: found out from the listen address and the interfaces. */
  advertise: string | undefined;
  /** IP address or interface to which other nodes send what is for overlay networks; undefined: where this node is reached. */
  dataPath?: string | undefined;
  apiSocket: string;
  /** Managers to join through; empty: start a new cluster on an empty state folder. */
  join: string[];
  token: string | undefined;
  /** With an empty state folder: start no cluster but wait for /swarm/init or /swarm/join. */
  idle: boolean;
  /** Also run an agent, so that the manager's device takes tasks too. */
  agent: boolean;
  hostname: string | undefined;
  labels: Record<string, string>;
  /** What this manager is to pass over, because it cannot be read (docs/operations/unreadable.md). */
  skip: Skip;
  /** The local engine's socket; undefined for none. */
  dockerSocket: string | undefined;
  /** End when standard input does: the parent that holds its other side is gone, or wants it. */
  exitWithParent: boolean;
}

/** What `--help` prints. */
export const MANAGER_USAGE = `Usage: run-manager [flags]

  --state-dir DIR        where the node keeps its state            (default .covey/manager)
  --listen HOST:PORT     address to listen on                      (default ${DEFAULT_LISTEN})
  --advertise HOST:PORT  address that other nodes reach this one at
  --data-path-addr IP    address or interface for overlay networks (default the one above)
  --api SOCKET           the control API's Unix socket             (default DIR/covey.sock)
  --join HOST:PORT[,...] join the cluster of these managers …
  --token-file FILE      … with the token in this file (or --token - for standard input, or the variable
                         COVEY_JOIN_TOKEN; --token T shows it to other users)
  --idle                 with an empty DIR: wait for /swarm/init or /swarm/join
  --no-agent             do not run tasks on this node
  --hostname NAME        name of this node                         (default the machine's)
  --label k=v            engine label of this node; may be repeated
  --docker SOCKET|none   the local Docker Engine                   (default /var/run/docker.sock)
  --skip-entry INDEX     pass over this entry of the log, which cannot be read; may be repeated
  --skip-record KEY      the same for a record of the stored state, such as tasks/ID
`;

const FLAGS = {
  "state-dir": { type: "string", default: ".covey/manager" },
  listen: { type: "string" },
  advertise: { type: "string" },
  "data-path-addr": { type: "string" },
  api: { type: "string" },
  join: { type: "string" },
  token: { type: "string" },
  idle: { type: "boolean", default: false },
  "no-agent": { type: "boolean", default: false },
  hostname: { type: "string" },
  label: { type: "string", multiple: true, default: [] as string[] },
  docker: { type: "string", default: "/var/run/docker.sock" },
  // What an idle manager's front says to the manager; the addresses are for the launcher.
  "exit-with-parent": { type: "boolean", default: false },
  allow: { type: "string" },
  "skip-entry": { type: "string", multiple: true, default: [] as string[] },
  "skip-record": { type: "string", multiple: true, default: [] as string[] },
} as const;

/**
 * Parses the flags. Throws `invalid_argument` with every problem; `cwd` makes paths absolute, `token` is what the launcher has
 * read of `--token` and `--token-file`.
 */
export function parseManagerOptions(args: string[], cwd: string, token?: string): ManagerOptions {
  const values = readFlags(args);
  const absolute = (path: string) => path.startsWith("/") ? path : `${cwd}/${path}`;
  const stateDir = absolute(values["state-dir"]);
  const docker = values.docker.replace(/^unix:\/\//, "");
  const options: ManagerOptions = {
    stateDir,
    listen: values.listen === undefined ? undefined : withPort(values.listen),
    advertise: values.advertise === undefined ? undefined : withPort(values.advertise),
    dataPath: values["data-path-addr"],
    apiSocket: absolute(values.api ?? `${stateDir}/covey.sock`),
    join: (values.join ?? "").split(",").filter((address) => address !== "").map((address) =>
      withPort(address)
    ),
    token: token ?? values.token,
    idle: values.idle,
    agent: !values["no-agent"],
    hostname: values.hostname,
    labels: Object.fromEntries(
      values.label.map((pair) => [pair.split("=", 1)[0]!, pair.slice(pair.indexOf("=") + 1)]),
    ),
    skip: { entries: values["skip-entry"].map(Number), records: values["skip-record"] },
    dockerSocket: docker === "none" ? undefined : docker,
    exitWithParent: values["exit-with-parent"],
  };
  const problems = problemsOf(options, values.label);
  if (problems.length > 0) throw CoveyError.invalid("start the manager", problems);
  return options;
}

function readFlags(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, strict: true }).values;
  } catch (thrown) {
    const why = withoutTokens((thrown as Error).message);
    throw new CoveyError("invalid_argument", `Cannot read the flags: ${why}; --help lists them`);
  }
}

/** Adds the cluster's port where an address has none. */
export function withPort(address: string, port = DEFAULT_PORT): string {
  if (/^\[[^\]]+\]$/.test(address) || !address.includes(":")) return `${address}:${port}`;
  return address.split(":").length > 2 && !address.startsWith("[") ? `[${address}]:${port}` : address;
}

function problemsOf(options: ManagerOptions, labels: readonly string[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const add = (field: string, message: string) => problems.push({ field, message });
  const addresses = { "--listen": options.listen, "--advertise": options.advertise };
  for (const [flag, address] of Object.entries(addresses)) {
    if (address !== undefined && !isAddress(address)) {
      add(flag, `want HOST:PORT, current value is "${address}"`);
    }
  }
  for (const address of options.join) {
    if (!isAddress(address)) add("--join", `want HOST:PORT, current value is "${address}"`);
  }
  if (options.join.length > 0 && !options.token) add("--token", "is required with --join");
  if (options.token !== undefined && options.join.length === 0) add("--join", "is required with --token");
  if (options.idle && options.join.length > 0) add("--idle", "cannot be combined with --join");
  for (const label of labels) {
    if (!/^(?!__proto__=)[^=\s]+=/.test(label)) add("--label", `want k=v, current value is "${label}"`);
  }
  for (const index of options.skip.entries) {
    if (!Number.isSafeInteger(index) || index < 1) {
      add("--skip-entry", "want the index of an entry, from 1 on");
    }
  }
  for (const key of options.skip.records) {
    if (/^clusters\//.test(key)) add("--skip-record", "nothing goes without the cluster: restore a backup");
    else if (!/^(?:nodes|services|tasks)\/\S+$/.test(key)) {
      add("--skip-record", `want TABLE/ID, current value is "${key}"`);
    }
  }
  for (const [flag, path] of [["--state-dir", options.stateDir], ["--api", options.apiSocket]] as const) {
    // The default socket stands in the state folder, of which the problem is told already.
    const told = flag === "--api" && path === `${options.stateDir}/covey.sock`;
    if (!told && /[\s,]/.test(path)) {
      add(flag, `must not contain blanks or commas, current value is "${path}"`);
    }
  }
  // The kernel's sockaddr_un holds 108 bytes, the last one zero.
  if (options.apiSocket.length > 107) {
    add("--api", `a socket's path has at most 107 characters, current value has ${options.apiSocket.length}`);
  }
  return problems;
}

function isAddress(address: string): boolean {
  const match = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:,\[\]]+):(\d{1,5})$/.exec(address);
  return match !== null && Number(match[1]) <= 65535;
}
