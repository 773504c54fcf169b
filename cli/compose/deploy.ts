/** `deploy` of a service: how many, where, and how they are replaced. Pure. */
import type { Resources } from "../../api/objects.ts";
import type { Placement, RestartPolicy, ServiceMode, TaskSpec, UpdateConfig } from "../../api/service.ts";
import { compact } from "./scope.ts";
import { Section } from "./section.ts";

/** What `deploy` says. */
export interface Deploy {
  mode: ServiceMode;
  labels: Record<string, string>;
  endpointMode: "vip" | "dnsrr" | undefined;
  update: UpdateConfig | undefined;
  rollback: UpdateConfig | undefined;
  resources: TaskSpec["Resources"];
  restart: RestartPolicy | undefined;
  placement: Placement | undefined;
}

/** Reads `deploy` and, as older files have it, `restart`. */
export function deployOf(service: Section): Deploy {
  const deploy = service.section("deploy") ?? Section.of(
    { kind: "mapping", at: service.at, entries: new Map() },
    service.pathOf("deploy"),
    service.problems,
  );
  const restart = deploy.section("restart_policy");
  const result: Deploy = {
    mode: modeFrom(deploy),
    labels: deploy.labels("labels") ?? {},
    endpointMode: deploy.choice("endpoint_mode", ["vip", "dnsrr"] as const),
    update: updateConfig(deploy.section("update_config")),
    rollback: updateConfig(deploy.section("rollback_config")),
    resources: resourcesOf(deploy.section("resources")),
    restart: restart ? restartPolicy(restart) : olderRestart(service),
    placement: placementOf(deploy.section("placement")),
  };
  if (restart) service.text("restart");
  deploy.end();
  return result;
}

function modeFrom(deploy: Section): ServiceMode {
  const mode = deploy.choice("mode", ["replicated", "global", "replicated-job", "global-job"] as const);
  const replicas = deploy.count("replicas");
  if (replicas !== undefined && (mode === "global" || mode === "global-job")) {
    deploy.refuse("replicas", `a service of mode ${mode} has one task for each node`);
  }
  switch (mode) {
    case "global":
      return { Global: {} };
    case "global-job":
      return { GlobalJob: {} };
    case "replicated-job":
      return { ReplicatedJob: { MaxConcurrent: replicas ?? 1, TotalCompletions: replicas ?? 1 } };
    default:
      return { Replicated: { Replicas: replicas ?? 1 } };
  }
}

function updateConfig(section: Section | undefined): UpdateConfig | undefined {
  if (section === undefined) return undefined;
  const config = compact<UpdateConfig>({
    Parallelism: section.count("parallelism") ?? 1,
    Delay: section.duration("delay"),
    FailureAction: section.choice("failure_action", ["pause", "continue", "rollback"] as const),
    Monitor: section.duration("monitor"),
    MaxFailureRatio: section.ratio("max_failure_ratio"),
    Order: section.choice("order", ["stop-first", "start-first"] as const),
    Rollout: undefined,
  });
  section.end();
  return config;
}

function resourcesOf(section: Section | undefined): TaskSpec["Resources"] {
  if (section === undefined) return undefined;
  const limits = section.section("limits"), reservations = section.section("reservations");
  const Limits = limits && compact<{ NanoCPUs?: number; MemoryBytes?: number; Pids?: number }>({
    NanoCPUs: limits.cpus("cpus"),
    MemoryBytes: limits.bytes("memory"),
    Pids: limits.count("pids"),
  });
  const GenericResources = reservations ? genericResources(reservations) : [];
  reservations?.unsupported({ devices: "reserve a generic resource of the node" });
  const Reservations = reservations && compact<Resources>({
    NanoCPUs: reservations.cpus("cpus"),
    MemoryBytes: reservations.bytes("memory"),
    GenericResources: GenericResources.length > 0 ? GenericResources : undefined,
  });
  for (const each of [section, limits, reservations]) each?.end();
  return compact({ Limits, Reservations });
}

function genericResources(reservations: Section): NonNullable<Resources["GenericResources"]> {
  return reservations.items("generic_resources").flatMap(({ tree, path }) => {
    const each = Section.of(tree, path, reservations.problems), spec = each.section("discrete_resource_spec");
    const Kind = spec?.text("kind"), Value = spec?.count("value");
    spec?.end();
    each.end();
    if (Kind !== undefined && Value !== undefined) return [{ DiscreteResourceSpec: { Kind, Value } }];
    each.problems.add(each.at, each.path, "want discrete_resource_spec with kind and value");
    return [];
  });
}

function restartPolicy(section: Section): RestartPolicy | undefined {
  const policy = compact<RestartPolicy>({
    Condition: section.choice("condition", ["none", "on-failure", "any"] as const),
    Delay: section.duration("delay"),
    MaxAttempts: section.count("max_attempts"),
    Window: section.duration("window"),
  });
  section.end();
  return policy;
}

/** `restart`, as compose has it for containers. */
function olderRestart(service: Section): RestartPolicy | undefined {
  const text = service.text("restart");
  if (text === undefined || text === "no") return undefined;
  if (text === "always" || text === "unless-stopped") return { Condition: "any" };
  const failures = /^on-failure(?::(\d+))?$/.exec(text);
  if (failures) return { Condition: "on-failure", MaxAttempts: Number(failures[1] ?? 0) };
  service.refuse("restart", `want no, always, unless-stopped or on-failure[:N], not "${text}"`);
  return undefined;
}

function placementOf(section: Section | undefined): Placement | undefined {
  if (section === undefined) return undefined;
  const Preferences = section.items("preferences").flatMap(({ tree, path }) => {
    const each = Section.of(tree, path, section.problems), spread = each.text("spread");
    each.end();
    return spread === undefined ? [] : [{ Spread: { SpreadDescriptor: spread } }];
  });
  const placement = compact<Placement>({
    Constraints: section.texts("constraints"),
    Preferences: Preferences.length > 0 ? Preferences : undefined,
    MaxReplicas: section.count("max_replicas_per_node"),
  });
  section.end();
  return placement;
}
