/** The program of a service: what its container or process is. Pure. */
import type { ContainerSpec, HealthConfig, Ulimit } from "../../api/container_spec.ts";
import { RUNTIME_CONTAINER, RUNTIME_PROCESS, type TaskSpec } from "../../api/service.ts";
import { shellWords } from "../shell_words.ts";
import { resolvedFrom } from "./load.ts";
import { mountsOf } from "./mounts.ts";
import { compact, type Scope, stackLabels } from "./scope.ts";
import { Section } from "./section.ts";

/** Keys that mean nothing to a swarm, and what to write instead. */
const UNSUPPORTED: Record<string, string> = {
  blkio_config: "",
  build: "build the image before and name it",
  cgroup: "",
  cgroup_parent: "",
  cgroupns_mode: "",
  container_name: "containers have the names of their tasks",
  cpu_count: "use deploy.resources",
  cpu_percent: "use deploy.resources",
  cpu_shares: "use deploy.resources",
  cpu_quota: "use deploy.resources",
  cpus: "use deploy.resources.limits.cpus",
  cpuset: "",
  device_cgroup_rules: "",
  devices: "",
  domainname: "",
  external_links: "use networks",
  gpus: "reserve a generic resource of the node",
  ipc: "",
  links: "use networks",
  mac_address: "",
  mem_limit: "use deploy.resources.limits.memory",
  mem_reservation: "use deploy.resources.reservations.memory",
  mem_swappiness: "",
  memswap_limit: "",
  network_mode: 'use networks, of which "host" may be one that is external',
  oom_kill_disable: "",
  pid: "",
  pids_limit: "use deploy.resources.limits.pids",
  platform: "use deploy.placement.constraints with node.platform.arch",
  privileged: "",
  pull_policy: "",
  runtime: "",
  scale: "use deploy.replicas",
  security_opt: "",
  shm_size: "mount a tmpfs at /dev/shm",
  storage_opt: "",
  userns_mode: "",
  uts: "",
  volumes_from: "use volumes",
};

/** The part of a task that says what runs. */
export type ProgramSpec = Pick<TaskSpec, "Runtime" | "ContainerSpec" | "ProcessSpec" | "LogDriver">;

/** Reads what runs. `x-covey: {executor: process}` makes it a program of the device instead of a container. */
export function programOf(scope: Scope, service: Section): ProgramSpec {
  service.unsupported(UNSUPPORTED);
  for (const informative of ["expose", "annotations", "attach", "profiles"]) service.tree(informative);
  const extension = service.section("x-covey");
  const executor = extension?.choice("executor", ["docker", "process"] as const) ?? "docker";
  extension?.end();
  const LogDriver = logDriverOf(service);
  const log = LogDriver && { LogDriver };
  return executor === "process"
    ? { Runtime: RUNTIME_PROCESS, ProcessSpec: processOf(scope, service), ...log }
    : { Runtime: RUNTIME_CONTAINER, ContainerSpec: containerOf(scope, service), ...log };
}

function processOf(scope: Scope, service: Section): NonNullable<TaskSpec["ProcessSpec"]> {
  if (service.tree("image")) service.refuse("image", "a process has none: its program is in command");
  const [Command, ...Args] = [...wordsOf(service, "entrypoint") ?? [], ...wordsOf(service, "command") ?? []];
  if (Command === undefined) {
    service.problems.add(service.at, service.path, "want a command: the program to run");
  }
  return {
    Command: Command ?? "",
    ...(Args.length > 0 && { Args }),
    ...compact<Omit<NonNullable<TaskSpec["ProcessSpec"]>, "Command" | "Args" | "Secrets" | "Configs">>({
      Env: environmentOf(scope, service),
      Dir: service.text("working_dir"),
      User: service.text("user"),
      StopSignal: service.text("stop_signal"),
      StopGracePeriod: service.duration("stop_grace_period"),
    }),
  };
}

function containerOf(scope: Scope, service: Section): ContainerSpec {
  const Image = service.text("image");
  if (Image === undefined) service.problems.add(service.at, service.path, "want an image");
  const Mounts = mountsOf(scope, service), hosts = service.pairs("extra_hosts", extraHostSeparator(service));
  const Labels = stackLabels(scope, service.labels("labels"));
  const credentials = service.section("credential_spec");
  credentials?.unsupported({ config: "", file: "", registry: "" });
  credentials?.end();
  return {
    Image: Image ?? "",
    Labels,
    ...compact<Omit<ContainerSpec, "Image" | "Labels" | "Secrets" | "Configs" | "PullOptions">>({
      Command: wordsOf(service, "entrypoint"),
      Args: wordsOf(service, "command"),
      Hostname: service.text("hostname"),
      Env: environmentOf(scope, service),
      Dir: service.text("working_dir"),
      User: service.text("user"),
      Groups: service.texts("group_add"),
      Privileges: undefined,
      Init: service.flag("init"),
      StopSignal: service.text("stop_signal"),
      StopGracePeriod: service.duration("stop_grace_period"),
      TTY: service.flag("tty") || undefined,
      OpenStdin: service.flag("stdin_open") || undefined,
      ReadOnly: service.flag("read_only") || undefined,
      Mounts: Mounts.length > 0 ? Mounts : undefined,
      Healthcheck: healthcheckOf(service.section("healthcheck")),
      // As /etc/hosts has them: the address first.
      Hosts: hosts && [...hosts].map(([host, address]) => `${address ?? ""} ${host}`),
      DNSConfig: compact<NonNullable<ContainerSpec["DNSConfig"]>>({
        Nameservers: service.textOrTexts("dns"),
        Search: service.textOrTexts("dns_search"),
        Options: service.texts("dns_opt"),
      }),
      Isolation: service.text("isolation"),
      Sysctls: service.labels("sysctls"),
      CapabilityAdd: service.texts("cap_add")?.map(capability),
      CapabilityDrop: service.texts("cap_drop")?.map(capability),
      Ulimits: ulimitsOf(service.section("ulimits")),
      OomScoreAdj: service.integer("oom_score_adj"),
    }),
  };
}

/** `host:address`, or with newer files `host=address`. */
function extraHostSeparator(service: Section): string {
  const tree = service.tree("extra_hosts");
  const [first] = tree?.kind === "list" ? tree.items : [];
  return first?.kind === "scalar" && /^[^:]*=/.test(first.text ?? "") ? "=" : ":";
}

/** Docker's form of a capability's name. */
function capability(name: string): string {
  const upper = name.toUpperCase();
  return upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}

/** A list of words, or a text that is split as a shell does. */
function wordsOf(service: Section, key: string): string[] | undefined {
  const tree = service.tree(key);
  if (tree?.kind !== "scalar") return service.texts(key);
  try {
    return shellWords(tree.text!, key);
  } catch (thrown) {
    service.refuse(key, (thrown as Error).message);
    return undefined;
  }
}

/** `NAME=value`, sorted as docker has it: of `env_file`s first, then of `environment`. */
function environmentOf(scope: Scope, service: Section): string[] | undefined {
  const all = new Map<string, string>();
  for (const path of envFilesOf(service, (at) => scope.folderAt(at))) {
    for (const [name, value] of parseEnvFile(scope.envFiles.get(path.path) ?? "")) {
      all.set(name, value);
    }
  }
  for (const [name, given] of service.pairs("environment") ?? []) {
    // A name alone takes the value of whoever deploys, and is left out where they have none.
    const value = given ?? scope.env(name);
    if (value === undefined) all.delete(name);
    else all.set(name, value);
  }
  if (all.size === 0) return undefined;
  return [...all].map(([name, value]) => `${name}=${value}`).sort();
}

/** The files of a service's `env_file`, and whether they have to be there. */
export function envFilesOf(
  service: Section,
  folderAt: Scope["folderAt"],
): { path: string; required: boolean }[] {
  const tree = service.tree("env_file");
  const items = tree?.kind === "list"
    ? service.items("env_file")
    : tree
    ? [{ tree, path: service.pathOf("env_file") }]
    : [];
  return items.flatMap(({ tree: item, path }) => {
    if (item.kind === "scalar") {
      return [{ path: resolvedFrom(folderAt(item.at), item.text ?? ""), required: true }];
    }
    const section = Section.of(item, path, service.problems), name = section.text("path");
    const required = section.flag("required") ?? true;
    section.end();
    if (name === undefined) return [];
    return [{ path: resolvedFrom(folderAt(item.at), name), required }];
  });
}

/** Lines of `NAME=value`; `#` begins a comment, quotes around a value are taken off. */
function parseEnvFile(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const pair = /^\s*(?:export\s+)?([^#=\s][^=\s]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!pair) continue;
    const quoted = /^(["'])(.*)\1$/.exec(pair[2]!);
    found.set(pair[1]!, quoted ? quoted[2]! : pair[2]!.replace(/\s+#.*$/, ""));
  }
  return found;
}

function healthcheckOf(section: Section | undefined): HealthConfig | undefined {
  if (section === undefined) return undefined;
  const tree = section.tree("test"), disabled = section.flag("disable");
  const test = tree?.kind === "scalar" ? ["CMD-SHELL", tree.text!] : section.texts("test");
  if (disabled && test) section.refuse("disable", "a check that is disabled has no test");
  const health = compact<HealthConfig>({
    Test: disabled ? ["NONE"] : test,
    Interval: section.duration("interval"),
    Timeout: section.duration("timeout"),
    Retries: section.count("retries"),
    StartPeriod: section.duration("start_period"),
    StartInterval: section.duration("start_interval"),
  });
  section.end();
  return health;
}

function ulimitsOf(section: Section | undefined): Ulimit[] | undefined {
  return section?.names.flatMap((Name): Ulimit[] => {
    const tree = section.tree(Name);
    if (tree?.kind !== "mapping") {
      const both = section.integer(Name);
      return both === undefined ? [] : [{ Name, Soft: both, Hard: both }];
    }
    const each = section.section(Name)!, Soft = each.integer("soft"), Hard = each.integer("hard");
    each.end();
    if (Soft !== undefined && Hard !== undefined) return [{ Name, Soft, Hard }];
    section.refuse(Name, "want soft and hard");
    return [];
  });
}

function logDriverOf(service: Section): TaskSpec["LogDriver"] {
  const logging = service.section("logging");
  const driver = logging && compact<NonNullable<TaskSpec["LogDriver"]>>({
    Name: logging.text("driver"),
    Options: logging.labels("options"),
  });
  logging?.end();
  return driver;
}
