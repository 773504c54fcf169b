/** From the tree of compose files to a stack, as `docker stack deploy` would send it. Pure. */
import { definitionsOf, networkOf, payloadOf } from "./definitions.ts";
import type { Problems } from "./problems.ts";
import { waitsOf } from "./depends_on.ts";
import { envFilesOf } from "./program.ts";
import { type Definition, type DefinitionKind, type Scope, scoped } from "./scope.ts";
import { Section } from "./section.ts";
import { DEFAULT_NETWORK, serviceOf } from "./services.ts";
import type { Stack } from "./stack.ts";
import type { Mapping, Place } from "./tree.ts";
import type { Lookup } from "./variables.ts";

/** How a tree becomes a stack. */
export interface ConvertOptions {
  stack: string;
  env: Lookup;
  folderAt(place: Place): string;
  problems: Problems;
  /** Texts of the files that {@linkcode envFilesIn} names, by path. */
  envFiles: ReadonlyMap<string, string>;
}

/** The `env_file`s that services name. */
export function envFilesIn(tree: Mapping, options: Pick<ConvertOptions, "folderAt" | "problems">) {
  const services = Section.of(tree, "", options.problems).section("services");
  return (services?.names ?? []).flatMap((name) => {
    const service = services!.section(name);
    return service ? envFilesOf(service, options.folderAt) : [];
  });
}

/** The stack of a file. Problems are gathered, to be checked by the caller. */
export function convert(tree: Mapping, options: ConvertOptions): Stack {
  const { stack, problems } = options, file = Section.of(tree, "", problems);
  for (const informative of ["version", "name"]) file.text(informative);
  file.unsupported({ include: "give several files with -c", models: "" });
  const definitions: Scope["definitions"] = {
    networks: withDefault(file, definitionsOf(file, "networks", stack), stack),
    volumes: definitionsOf(file, "volumes", stack),
    secrets: definitionsOf(file, "secrets", stack),
    configs: definitionsOf(file, "configs", stack),
  };
  const used = {
    networks: new Set<string>(),
    volumes: new Set<string>(),
    secrets: new Set<string>(),
    configs: new Set<string>(),
  };
  const all = file.section("services");
  if (all === undefined || all.names.length === 0) {
    problems.add(file.at, "services", "want at least one service");
  }
  const scope: Scope = { ...options, definitions, waits: waitsOf(all) };
  const services = (all?.names ?? []).map((name) =>
    serviceOf(scope, name, all!.section(name) ?? emptySection(all!, name), used)
  );
  file.end();
  const own = (kind: DefinitionKind) => [...definitions[kind]].filter(([, each]) => !each.external);
  const external = (kind: DefinitionKind) =>
    [...definitions[kind]].filter(([key, each]) => each.external && used[kind].has(key)).map(([, each]) =>
      each.name
    );
  endVolumes(definitions.volumes);
  return {
    name: stack,
    // A network that no service is in is not made (docker).
    networks: own("networks").filter(([key]) => used.networks.has(key)).map(([, each]) =>
      networkOf(scope, each)
    ),
    secrets: own("secrets").map(([, each]) => payloadOf(scope, "secret", each)),
    configs: own("configs").map(([, each]) => payloadOf(scope, "config", each)),
    external: { networks: external("networks"), secrets: external("secrets"), configs: external("configs") },
    services,
  };
}

/** Services that name no network are in one of the stack's. */
function withDefault(
  file: Section,
  networks: Map<string, Definition>,
  stack: string,
): Map<string, Definition> {
  if (networks.has(DEFAULT_NETWORK)) return networks;
  const section = emptySection(file, `networks.${DEFAULT_NETWORK}`);
  const definition = { name: scoped({ stack }, DEFAULT_NETWORK), external: false, section };
  return new Map([...networks, [DEFAULT_NETWORK, definition]]);
}

function emptySection(above: Section, key: string): Section {
  return new Section(
    { kind: "mapping", at: above.placeOf(key), entries: new Map() },
    above.pathOf(key),
    above.problems,
  );
}

/** Volumes are read where services mount them; what is not known there is refused all the same. */
function endVolumes(volumes: Map<string, Definition>): void {
  for (const { section } of volumes.values()) {
    for (const key of ["driver", "driver_opts", "labels"]) section.tree(key);
    section.end();
  }
}
