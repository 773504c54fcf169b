/** Normalizes and validates what an agent says of its node: authenticated, but not trusted to be well-behaved. */
import type { FieldProblem } from "../errors.ts";
import type { NodeDescription } from "../node.ts";
import type { GenericResource } from "../objects.ts";
import { integer, list, onlyTrue, record, stringMap, text } from "./shape.ts";

const descriptionShape = record({
  Hostname: text,
  Platform: record({ OS: text, Architecture: text }),
  Resources: record({
    NanoCPUs: integer(0),
    MemoryBytes: integer(0),
    GenericResources: list(record({
      DiscreteResourceSpec: record({ Kind: text, Value: integer(0) }),
      NamedResourceSpec: record({ Kind: text, Value: text }),
    })),
  }),
  Engine: record({
    EngineVersion: text,
    Labels: stringMap,
    Plugins: list(record({ Type: text, Name: text })),
  }),
  Runtimes: list(text),
  MissingRuntimes: stringMap,
  AgentOnly: onlyTrue,
  TLSInfo: record({ TrustRoot: text, CertIssuerSubject: text, CertIssuerPublicKey: text }),
});

/** The description to store; every problem is added to `problems`. Unknown fields are dropped. */
export function parseNodeDescription(
  value: unknown,
  path: string,
  problems: FieldProblem[],
): NodeDescription {
  const { Hostname = "", Platform = {}, Resources = {}, Engine = {}, Runtimes = [], ...rest } =
    descriptionShape(value, path, problems) ?? {};
  const { Labels, Plugins } = Engine, { TLSInfo, MissingRuntimes, AgentOnly } = rest;
  const { GenericResources, ...amounts } = Resources;
  return {
    Hostname,
    Platform: { OS: Platform.OS ?? "", Architecture: Platform.Architecture ?? "" },
    Resources: {
      ...amounts,
      ...(GenericResources && { GenericResources: GenericResources as GenericResource[] }),
    },
    Engine: {
      EngineVersion: Engine.EngineVersion ?? "",
      ...(Labels && { Labels }),
      ...(Plugins && { Plugins: Plugins.map(({ Type = "", Name = "" }) => ({ Type, Name })) }),
    },
    Runtimes,
    ...(MissingRuntimes && { MissingRuntimes }),
    ...(AgentOnly && { AgentOnly }),
    ...(TLSInfo && {
      TLSInfo: { TrustRoot: "", CertIssuerSubject: "", CertIssuerPublicKey: "", ...TLSInfo },
    }),
  };
}
