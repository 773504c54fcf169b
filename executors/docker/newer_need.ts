/** What of a container's spec only newer engines know, which would leave it out without a word if asked in the usual version. */
import type { ContainerSpec, HealthConfig, Mount } from "../../api/container_spec.ts";
import { CoveyError } from "../../api/errors.ts";
import type { EngineClient } from "./engine_client.ts";

/** What an engine knows from a version of its API on. */
export interface NewerNeed {
  version: string;
  what: string;
}

/** True for a mount of which an engine has to know something. */
type MountTest = (mount: Mount) => unknown;

/** Newest first: an engine that knows the first of a spec's knows all of them. */
const NEWER: readonly (NewerNeed & { mount?: MountTest; health?: (health: HealthConfig) => unknown })[] = [
  { version: "v1.48", what: "image mounts", mount: ({ Type }) => Type === "image" },
  { version: "v1.45", what: "volume subpaths", mount: ({ VolumeOptions }) => VolumeOptions?.Subpath },
  { version: "v1.44", what: "health checks with a start interval", health: (check) => check.StartInterval },
  {
    version: "v1.44",
    what: "recursive read-only binds",
    mount: ({ BindOptions: bind }) => bind?.ReadOnlyNonRecursive || bind?.ReadOnlyForceRecursive,
  },
  {
    version: "v1.42",
    what: "binds that make their source",
    mount: ({ BindOptions }) => BindOptions?.CreateMountpoint,
  },
];

/**
 * The API version from which on an engine knows all that `spec` asks for, and what that is, if the usual one is too old: asked
 * in that, it would leave the rest out without a word.
 */
export function newerNeed({ Healthcheck, Mounts = [] }: ContainerSpec): NewerNeed | undefined {
  return NEWER.find(({ mount, health }) =>
    mount !== undefined ? Mounts.some(mount) : Healthcheck && health?.(Healthcheck)
  );
}

/** True for an engine whose API is older than the need's. Rejects as any call does. */
export async function isTooOld(
  engine: EngineClient,
  { version }: NewerNeed,
  signal: AbortSignal,
): Promise<boolean> {
  const { ApiVersion } = await engine.call<{ ApiVersion: string }>("GET", "/version", { signal });
  // All are 1.N.
  const minor = (text: string) => Number(text.split(".")[1]);
  return minor(ApiVersion) < minor(version);
}

/** `error`, and what the engine that answered it is too old for. */
export function tooOld(error: CoveyError, { version, what }: NewerNeed): CoveyError {
  const needed = `${what} need an engine of API ${version.slice(1)} or newer`;
  return new CoveyError("invalid_argument", `${needed}: ${error.message}`, { cause: error });
}
