/** Services of a compose file as the API takes them. Pure. */
import type { NetworkAttachmentConfig, ServiceSpec } from "../../api/service.ts";
import { deployOf } from "./deploy.ts";
import { portsOf } from "./ports.ts";
import { programOf } from "./program.ts";
import { dependsOnOf } from "./depends_on.ts";
import { compact, type Definition, type DefinitionKind, type Scope, scoped, stackLabels } from "./scope.ts";
import { Section } from "./section.ts";
import { IMAGE_LABEL, type NamedReference, type StackService } from "./stack.ts";

/** Permission bits of a secret's or config's file unless the file says otherwise (docker). */
const DEFAULT_FILE_MODE = 0o444;

/** The network of services that name none. */
export const DEFAULT_NETWORK = "default";

/** One service. `used` gathers what it references, by kind and key. */
export function serviceOf(
  scope: Scope,
  name: string,
  service: Section,
  used: Record<DefinitionKind, Set<string>>,
): StackService {
  const deploy = deployOf(service), program = programOf(scope, service);
  const ports = portsOf(service);
  const isProcess = program.ProcessSpec !== undefined;
  // A process that names none is in the network of its device.
  const networks = isProcess && !service.tree("networks")
    ? []
    : networksOf(scope, name, service, used.networks);
  const waits = dependsOnOf(scope, name, service);
  const secrets = referencesOf(scope, "secrets", service, used.secrets);
  const configs = referencesOf(scope, "configs", service, used.configs);
  service.end();
  const image = program.ContainerSpec?.Image;
  const spec: ServiceSpec = {
    Name: scoped(scope, name),
    Labels: {
      ...stackLabels(scope, { ...waits, ...deploy.labels }),
      ...(image !== undefined && { [IMAGE_LABEL]: image }),
    },
    TaskTemplate: {
      ...program,
      ForceUpdate: 0,
      ...compact<Pick<ServiceSpec["TaskTemplate"], "Resources" | "RestartPolicy" | "Placement">>({
        Resources: deploy.resources,
        RestartPolicy: deploy.restart,
        Placement: deploy.placement,
      }),
      ...(networks.length > 0 && { Networks: networks }),
    },
    Mode: deploy.mode,
    ...(deploy.update && { UpdateConfig: deploy.update }),
    ...(deploy.rollback && { RollbackConfig: deploy.rollback }),
  };
  const endpoint = compact<NonNullable<ServiceSpec["EndpointSpec"]>>({
    Mode: deploy.endpointMode,
    Ports: ports.length > 0 ? ports : undefined,
  });
  return { spec: endpoint ? { ...spec, EndpointSpec: endpoint } : spec, secrets, configs };
}

/** Networks by name, each service known there by its own name too. */
function networksOf(
  scope: Scope,
  name: string,
  service: Section,
  used: Set<string>,
): NetworkAttachmentConfig[] {
  const tree = service.tree("networks");
  const section = tree?.kind === "mapping" ? service.section("networks") : undefined;
  const keys = section?.names ?? service.texts("networks") ?? [DEFAULT_NETWORK];
  return keys.flatMap((key): NetworkAttachmentConfig[] => {
    const network = scope.definitions.networks.get(key);
    if (network === undefined) {
      service.refuse("networks", `network ${key} is not defined under networks`);
      return [];
    }
    used.add(key);
    const each = section?.section(key);
    const aliases = each?.texts("aliases") ?? [], DriverOpts = each?.labels("driver_opts");
    each?.unsupported({
      ipv4_address: "",
      ipv6_address: "",
      link_local_ips: "",
      mac_address: "",
      priority: "",
    });
    each?.end();
    // The networks of every engine know no names.
    const isPredefined = network.external && ["host", "bridge", "none"].includes(network.name);
    return [{
      Target: network.name,
      ...(!isPredefined && { Aliases: [...aliases, name] }),
      ...(DriverOpts && { DriverOpts }),
    }];
  }).sort((a, b) => a.Target < b.Target ? -1 : 1);
}

/** `secrets` or `configs` of a service. */
function referencesOf(
  scope: Scope,
  kind: "secrets" | "configs",
  service: Section,
  used: Set<string>,
): NamedReference[] {
  return service.items(kind).flatMap(({ tree, path }): NamedReference[] => {
    const long = tree.kind === "scalar" ? undefined : Section.of(tree, path, service.problems);
    const source = tree.kind === "scalar" ? tree.text ?? "" : long!.text("source") ?? "";
    const definition: Definition | undefined = scope.definitions[kind].get(source);
    const reference = {
      File: {
        Name: long?.text("target") ?? source,
        UID: long?.text("uid") ?? "0",
        GID: long?.text("gid") ?? "0",
        Mode: long?.count("mode") ?? DEFAULT_FILE_MODE,
      },
    };
    long?.end();
    if (definition === undefined) {
      service.problems.add(tree.at, path, `${kind.slice(0, -1)} "${source}" is not defined under ${kind}`);
      return [];
    }
    used.add(source);
    return [{ name: definition.name, ...reference }];
  });
}
