/** A registry's credentials, which come in a header and go, shown nowhere, to the nodes that pull. */
import type { Context } from "@hono/hono";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { isObject } from "../../api/validate/mod.ts";

/** Characters of the longest credentials: tokens of big registries have a few thousand. */
const MAX_AUTH_LENGTH = 16 * 1024;

/** What Docker's credentials are made of. */
const FIELDS = ["username", "password", "auth", "email", "serveraddress", "identitytoken", "registrytoken"];

/**
 * `X-Registry-Auth` as engines take it, in padded base64url, whichever of the four kinds of base64 it came in; undefined if
 * there is none or it says nothing of a registry: dockerode sends a whole spec in it. Throws `invalid_argument`.
 */
export function registryAuth(c: Context): string | undefined {
  const header = c.req.header("x-registry-auth")?.trim() ?? "";
  if (header === "") return undefined;
  const decoded = decode(header);
  if (decoded !== null && !isObject(decoded)) throw unreadable("is no JSON object in base64");
  const given = Object.entries(decoded ?? {}).filter(([key, value]) =>
    FIELDS.includes(key) && typeof value === "string" && value !== ""
  );
  if (given.length === 0) return undefined;
  const auth = new TextEncoder().encode(JSON.stringify(Object.fromEntries(given))).toBase64({
    alphabet: "base64url",
  });
  if (auth.length <= MAX_AUTH_LENGTH) return auth;
  throw unreadable(`has ${auth.length} characters of credentials, more than ${MAX_AUTH_LENGTH}`);
}

function decode(header: string): unknown {
  try {
    const text = header.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
    return JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(text)));
  } catch (cause) {
    throw unreadable("is no JSON object in base64", cause);
  }
}

function unreadable(what: string, cause?: unknown): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read the X-Registry-Auth header: it ${what}`, { cause });
}

/** `spec` with the credentials that its nodes shall pull with; of a spec without containers, itself. */
export function withAuth(spec: ServiceSpec, auth: string | undefined): ServiceSpec {
  const { ContainerSpec } = spec.TaskTemplate;
  if (auth === undefined || ContainerSpec === undefined) return spec;
  const PullOptions = { RegistryAuth: auth };
  return {
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, ContainerSpec: { ...ContainerSpec, PullOptions } },
  };
}

/** The credentials that an update without any goes on with. Throws Docker's error for another word, or where there is no such spec. */
export function keptAuth(
  from: string,
  service: { Spec: ServiceSpec; PreviousSpec?: ServiceSpec },
): string | undefined {
  if (!["", "spec", "previous-spec"].includes(from)) {
    throw new CoveyError("unknown", "unsupported registryAuthFrom value");
  }
  const spec = from === "previous-spec" ? service.PreviousSpec : service.Spec;
  if (spec === undefined) throw new CoveyError("unknown", "service does not have a previous spec");
  return spec.TaskTemplate.ContainerSpec?.PullOptions?.RegistryAuth;
}
