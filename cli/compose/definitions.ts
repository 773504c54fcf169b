/** Networks, volumes, secrets and configs at the top of a compose file. Pure. */
import type { DependencyKind } from "../../api/dependency.ts";
import { resolvedFrom } from "./load.ts";
import { compact, type Definition, type DefinitionKind, type Scope, scoped, stackLabels } from "./scope.ts";
import { Section } from "./section.ts";
import type { NetworkSpec, StackPayload } from "./stack.ts";

/** The definitions of one kind, by the name that services use. */
export function definitionsOf(file: Section, kind: DefinitionKind, stack: string): Map<string, Definition> {
  const all = file.section(kind);
  if (all === undefined) return new Map();
  return new Map(all.names.map((key) => {
    const tree = all.tree(key) ?? { kind: "mapping" as const, at: all.placeOf(key), entries: new Map() };
    const section = Section.of(tree, all.pathOf(key), file.problems);
    const external = section.tree("external");
    // Old files name an external object below `external`.
    const named = external?.kind === "mapping" ? section.section("external")!.text("name") : undefined;
    const isExternal = external?.kind === "mapping" || section.flag("external") === true;
    const name = section.text("name") ?? named ?? (isExternal ? key : scoped({ stack }, key));
    return [key, { name, external: isExternal, section }];
  }));
}

/** A network of the stack. */
export function networkOf(scope: Scope, { name, section }: Definition): NetworkSpec {
  const ipam = section.section("ipam");
  const network: NetworkSpec = { Name: name, Driver: section.text("driver") ?? "overlay", Labels: {} };
  const Options = section.labels("driver_opts");
  if (Options) network.Options = Options;
  if (section.flag("internal")) network.Internal = true;
  if (section.flag("attachable")) network.Attachable = true;
  if (section.flag("enable_ipv6")) network.EnableIPv6 = true;
  network.Labels = stackLabels(scope, section.labels("labels"));
  if (ipam) {
    const Config = ipam.items("config").map(({ tree, path }) => {
      const each = Section.of(tree, path, section.problems);
      const config = compact<{ Subnet?: string; Gateway?: string; IPRange?: string }>({
        Subnet: each.text("subnet"),
        Gateway: each.text("gateway"),
        IPRange: each.text("ip_range"),
      });
      each.end();
      return config ?? {};
    });
    network.IPAM = compact({ Driver: ipam.text("driver"), Config: Config.length > 0 ? Config : undefined }) ??
      {};
    ipam.end();
  }
  section.end();
  return network;
}

/** A secret or config of the stack. */
export function payloadOf(scope: Scope, kind: DependencyKind, { name, section }: Definition): StackPayload {
  const file = section.text("file"), variable = section.text("environment");
  const content = kind === "config" ? section.text("content") : undefined;
  const driver = section.text("driver"), template = section.text("template_driver");
  const Options = section.labels("driver_opts");
  const sources = [
    file === undefined ? [] : [{ file: resolvedFrom(scope.folderAt(section.placeOf("file")), file) }],
    variable === undefined ? [] : [{ variable }],
    content === undefined ? [] : [{ content }],
  ].flat();
  if (sources.length !== 1 && driver === undefined) {
    const ways = kind === "config" ? "file, environment or content" : "file or environment";
    section.problems.add(section.at, section.path, `want one of ${ways}, or external: true`);
  }
  const payload: StackPayload = {
    Name: name,
    Labels: stackLabels(scope, section.labels("labels")),
    from: sources[0],
    ...(driver !== undefined && { Driver: { Name: driver, ...(Options && { Options }) } }),
    ...(template !== undefined && { Templating: { Name: template } }),
  };
  section.end();
  return payload;
}
