/** The networks that a service is attached to: those that every engine has. */
import { predefinedNetwork } from "../predefined_network.ts";
import type { FieldProblem } from "../errors.ts";
import type { NetworkAttachmentConfig } from "../service.ts";
import { line, list, record, type Shape, stringMap, strings } from "./shape.ts";

/** What the engine beside a manager calls its own networks. */
export const ENGINE_NETWORK_ID = /^[0-9a-f]{64}$/;

const attachment = record(
  { Target: line(), Aliases: strings, DriverOpts: stringMap },
  ["Target"],
);

/** A network by its name, which an engine's own ID leaves open. */
const network: Shape<NetworkAttachmentConfig> = (value, path, problems) => {
  const { Target, ...options } = attachment(value, path, problems) ?? {};
  if (Target === undefined) return undefined;
  const Name = ENGINE_NETWORK_ID.test(Target) ? Target : predefinedNetwork(Target)?.Name;
  if (Name !== undefined) return { Target: Name, ...options };
  problems.push({ field: `${path}.Target`, message: networkMissing(Target) });
};

/** Docker's words for a network that is not there. */
export function networkMissing(reference: string): string {
  return `network ${reference} not found`;
}

const networks = list(network);

/** At most one network: a container begins in one, and those that it could be attached to besides are not there yet. */
export const networksShape: Shape<NetworkAttachmentConfig[]> = (value, path, problems) => {
  const found = networks(value, path, problems);
  if (found !== undefined && found.length > 1) problems.push(tooMany(path));
  return found;
};

function tooMany(field: string): FieldProblem {
  return { field, message: "more than one network is not available yet" };
}
