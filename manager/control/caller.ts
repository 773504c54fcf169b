/** Who asks something of the control API, and what they may do. */
import { CoveyError } from "../../api/errors.ts";

/**
 * What a caller may do: see the cluster, change what runs on it, or rule it. Join tokens, backups and the container engine
 * let one do anything, so they are a ruler's.
 */
const RIGHTS = ["view", "operate", "administer"] as const;

/** One right. */
export type Right = typeof RIGHTS[number];

/** Who asks; travels with a request from the manager that it reached to the one that answers. */
export interface Caller {
  Name: string;
  Rights: readonly Right[];
}

/** Whoever may open the control socket, which is its owner's alone. */
export const ADMINISTRATOR: Caller = { Name: "administrator", Rights: RIGHTS };

/** Throws `permission_denied` unless `caller` has the right. */
export function requireRight({ Name, Rights }: Caller, right: Right): void {
  if (Rights.includes(right)) return;
  throw new CoveyError("permission_denied", `${Name} may not do this: it takes the right to ${right}`);
}

/** A caller as another manager names it. Throws `invalid_argument`. */
export function checkCaller(value: unknown): Caller {
  const { Name, Rights } = (value ?? {}) as Partial<Caller>;
  if (typeof Name === "string" && Array.isArray(Rights) && Rights.every((right) => RIGHTS.includes(right))) {
    return { Name, Rights };
  }
  throw new CoveyError("invalid_argument", "Cannot take the request: it does not say who asks");
}
