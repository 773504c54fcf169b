/** The networks that a service is to be attached to, each by itself; which there are is for the cluster to say. */
import { predefinedNetwork } from "../predefined_network.ts";
import type { FieldProblem } from "../errors.ts";
import type { NetworkAttachmentConfig } from "../service.ts";
import { line, list, record, type Shape, stringMap } from "./shape.ts";

/** What the engine beside a manager calls its own networks. */
export const ENGINE_NETWORK_ID = /^[0-9a-f]{64}$/;

/** Networks of one service: each is an address for each of its tasks. */
const MAX_NETWORKS_OF_SERVICE = 64;
/** Names of a service in a network besides its own. */
const MAX_ALIASES = 64;
/** Characters of a name in DNS. */
const MAX_ALIAS_LENGTH = 253;

const attachment = record(
  { Target: line(), Aliases: list(line(MAX_ALIAS_LENGTH), MAX_ALIASES), DriverOpts: stringMap },
  ["Target"],
);

/** One that every engine has by its name, any other as it was given. */
const network: Shape<NetworkAttachmentConfig> = (value, path, problems) => {
  const { Target, ...options } = attachment(value, path, problems) ?? {};
  return Target === undefined ? undefined : { Target: predefinedNetwork(Target)?.Name ?? Target, ...options };
};

/** Docker's words for a network that is not there. */
export function networkMissing(reference: string): string {
  return `network ${reference} not found`;
}

const networks = list(network, MAX_NETWORKS_OF_SERVICE);

/** A container is in an engine's network or in the cluster's, not in both. */
export const networksShape: Shape<NetworkAttachmentConfig[]> = (value, path, problems) => {
  const found = networks(value, path, problems);
  const predefined = found?.find(({ Target }) => predefinedNetwork(Target) !== undefined);
  if (predefined !== undefined && found!.length > 1) problems.push(notAlone(path, predefined.Target));
  return found;
};

function notAlone(field: string, name: string): FieldProblem {
  return { field, message: `network ${name} cannot be used together with others` };
}
