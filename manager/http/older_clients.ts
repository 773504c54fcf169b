/** What a service spec had in which version of the API: of a client that asks for an older one, the rest does not count (moby `adjustForAPIVersion`). */
import { isJob, type ServiceSpec } from "../../api/service.ts";
import { isBefore, pathOf } from "./api_version.ts";

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

/** The first version that knows jobs. */
const JOBS_SINCE = "1.41";

/** `spec`, which is changed, as a request to `url` can mean it. */
export function asRequested(url: string, spec: ServiceSpec): ServiceSpec {
  const path = pathOf(url);
  for (const [version, drop] of NEWER) if (isBefore(path, version)) drop(spec.TaskTemplate);
  // As Docker has it: what no mode is left of is replicated.
  if (isBefore(path, JOBS_SINCE) && isJob(spec)) spec.Mode = { Replicated: { Replicas: 1 } };
  return spec;
}
