/** What a service spec had in which version of the API: of a client that asks for an older one, the rest does not count (moby `adjustForAPIVersion`). */
import type { ServiceSpec } from "../../api/service.ts";
import type { DependencyKind } from "../../api/dependency.ts";
import { fieldNames, fieldsOfBody } from "../../api/validate/mod.ts";
import { isBefore, pathOf, versionOf } from "./api_version.ts";
import { DockerError } from "./docker_error.ts";

/** Without the fields of a spec that are newer than a version. */
const NEWER: readonly [version: string, drop: (task: ServiceSpec["TaskTemplate"]) => void][] = [
  ["1.40", ({ ContainerSpec, Placement }) => {
    delete ContainerSpec?.Sysctls;
    delete Placement?.MaxReplicas;
  }],
  ["1.41", ({ ContainerSpec, Resources }) => {
    delete ContainerSpec?.CapabilityAdd;
    delete ContainerSpec?.CapabilityDrop;
    delete ContainerSpec?.Ulimits;
    delete Resources?.Limits?.Pids;
  }],
  ["1.44", ({ ContainerSpec }) => {
    delete ContainerSpec?.Privileges?.Seccomp;
    delete ContainerSpec?.Privileges?.AppArmor;
    delete ContainerSpec?.Privileges?.NoNewPrivileges;
  }],
  ["1.46", ({ ContainerSpec }) => delete ContainerSpec?.OomScoreAdj],
];

/** The first version that knows templates in secrets and configs. */
const TEMPLATES_SINCE = "1.37";
const TEMPLATING = fieldNames(["Templating"]);

/** Throws Docker's refusal of a template by a client that is older than those. */
export function requireKnowsTemplates(url: string, kind: DependencyKind, body: unknown): void {
  const path = pathOf(url);
  if (
    !isBefore(path, TEMPLATES_SINCE) || (fieldsOfBody(body, TEMPLATING).get("Templating") ?? null) === null
  ) {
    return;
  }
  const message = `${kind} templating is not supported on the specified API version: ${versionOf(path)}`;
  throw new DockerError(400, "invalid_argument", message);
}

/** The first version that knows jobs. */
const JOBS_SINCE = "1.41";

/** Whether a client that asks for `url` can mean jobs: to Docker an older one has not said what it says of them. */
export function knowsJobs(url: string): boolean {
  return !isBefore(pathOf(url), JOBS_SINCE);
}

/** `spec`, which is changed, as a request to `url` can mean it. */
export function asRequested(url: string, spec: ServiceSpec): ServiceSpec {
  const path = pathOf(url);
  for (const [version, drop] of NEWER) if (isBefore(path, version)) drop(spec.TaskTemplate);
  return spec;
}
