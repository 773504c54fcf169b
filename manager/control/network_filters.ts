/** Docker's filters of a list of networks. */
import { CoveyError } from "../../api/errors.ts";
import { type Filters, matchesExactly, matchesLabels, matchesPrefix } from "./filters.ts";

/** Their names. */
export const NETWORK_FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/** What is asked of a network of the swarm. */
export interface FilteredNetwork {
  ID: string;
  Name: string;
  Driver: string;
  Labels: Record<string, string>;
  /** It is one that every engine has. */
  isBuiltin: boolean;
  isUsed: boolean;
}

/** True if the network passes `filters`. Throws `invalid_argument` for a word that a filter does not know. */
export function networkMatches(filters: Filters, network: FilteredNetwork): boolean {
  const wrong = filters.get("type")?.find((word) => word !== "builtin" && word !== "custom");
  if (wrong !== undefined) throw new CoveyError("invalid_argument", `invalid filter: 'type'='${wrong}'`);
  const { ID, Name, Driver, Labels, isBuiltin, isUsed } = network;
  return matchesPrefix(filters, "id", ID) &&
    matchesExactly(filters, "driver", Driver) &&
    matchesExactly(filters, "scope", "swarm") &&
    matchesExactly(filters, "type", isBuiltin ? "builtin" : "custom") &&
    isAsDangling(filters, !isBuiltin && !isUsed) &&
    (filters.get("name")?.some((part) => Name.includes(part)) ?? true) &&
    matchesLabels(filters, "label", Labels);
}

const YES = ["true", "1"], NO = ["false", "0"];

function isAsDangling(filters: Filters, isDangling: boolean): boolean {
  const words = filters.get("dangling") ?? [];
  if (!words.every((word) => YES.includes(word) || NO.includes(word))) {
    const wanted = 'must be "true" (or "1"), or "false" (or "0")';
    throw new CoveyError("invalid_argument", `invalid value for filter 'dangling', ${wanted}`);
  }
  return words.length === 0 || words.some((word) => (isDangling ? YES : NO).includes(word));
}
