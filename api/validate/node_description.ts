/** Normalizes and validates what an agent says of its node: authenticated, but not trusted to be well-behaved. */
import type { FieldProblem } from "../errors.ts";
import type { NodeDescription } from "../node.ts";
import { ipAddress } from "./address.ts";
import { genericResource } from "./generic_resource.ts";
import { integer, line, list, mapOf, onlyTrue, record, stringMap, text, words } from "./shape.ts";

/** Characters of a host name: DNS has at most 253. */
const MAX_HOSTNAME_LENGTH = 253;
/** Characters of a word of the platform, of a version, a runtime, a plugin: each stands in a table. */
const MAX_WORD_LENGTH = 255;
/** Characters of the reason why a runtime does not work, which are an executor's words. */
const MAX_REASON_LENGTH = 1024;
/** Beyond it, what nodes have cannot be counted exactly. */
const MAX_AMOUNT = Number.MAX_SAFE_INTEGER;

/** Values of one fact: a device with more paths below /dev that are worth a name is none of ours. */
const MAX_FACT_VALUES = 256;

const word = line(MAX_WORD_LENGTH);

const descriptionShape = record({
  Hostname: line(MAX_HOSTNAME_LENGTH),
  Platform: record({ OS: word, Architecture: word }),
  Resources: record({
    NanoCPUs: integer(0, MAX_AMOUNT),
    MemoryBytes: integer(0, MAX_AMOUNT),
    GenericResources: list(genericResource(0)),
  }),
  Engine: record({
    EngineVersion: word,
    Labels: stringMap,
    Plugins: list(record({ Type: word, Name: word })),
  }),
  Runtimes: list(word),
  MissingRuntimes: mapOf(words(MAX_REASON_LENGTH)),
  OverlayRuntimes: list(word),
  MissingOverlay: words(MAX_REASON_LENGTH),
  DataPathAddr: ipAddress,
  LocalAddr: ipAddress,
  Reloads: list(word),
  AgentOnly: onlyTrue,
  ManagerOnly: onlyTrue,
  Swaps: onlyTrue,
  Schedules: onlyTrue,
  Facts: mapOf(list(word, MAX_FACT_VALUES)),
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
  const { Labels, Plugins } = Engine;
  const { TLSInfo, MissingRuntimes, Reloads, AgentOnly, ManagerOnly, Swaps, Schedules, Facts } = rest;
  const { OverlayRuntimes, MissingOverlay, DataPathAddr, LocalAddr } = rest;
  return {
    Hostname,
    Platform: { OS: Platform.OS ?? "", Architecture: Platform.Architecture ?? "" },
    Resources,
    Engine: {
      EngineVersion: Engine.EngineVersion ?? "",
      ...(Labels && { Labels }),
      ...(Plugins && { Plugins: Plugins.map(({ Type = "", Name = "" }) => ({ Type, Name })) }),
    },
    Runtimes,
    ...(MissingRuntimes && { MissingRuntimes }),
    ...(OverlayRuntimes && { OverlayRuntimes }),
    ...(MissingOverlay && { MissingOverlay }),
    ...(DataPathAddr && { DataPathAddr }),
    ...(LocalAddr && { LocalAddr }),
    ...(Reloads && { Reloads }),
    ...(AgentOnly && { AgentOnly }),
    ...(ManagerOnly && { ManagerOnly }),
    ...(Swaps && { Swaps }),
    ...(Schedules && { Schedules }),
    ...(Facts && { Facts }),
    ...(TLSInfo && {
      TLSInfo: { TrustRoot: "", CertIssuerSubject: "", CertIssuerPublicKey: "", ...TLSInfo },
    }),
  };
}
