/** The shape of `TaskTemplate.ContainerSpec`. Field order is the Engine API's, so that what is shown reads as Docker's. */
import { MILLISECOND_NS } from "../duration.ts";
import type { FieldProblem } from "../errors.ts";
import { base64 } from "./base64.ts";
import { configReferences, secretReferences } from "./reference_shape.ts";
import {
  flag,
  integer,
  line,
  list,
  nonZero,
  oneOf,
  oneOfFolded,
  onlyTrue,
  record,
  refused,
  type Shape,
  type Shaped,
  stringMap,
  strings,
  text,
  unsupported,
} from "./shape.ts";

/** Nanoseconds of the shortest interval a health check takes (SwarmKit `minimumDuration`). */
const MIN_HEALTH_DURATION = MILLISECOND_NS;

function healthDuration(name: string): Shape<number> {
  return (value, path, problems) => {
    const duration = nonZero(integer(0))(value, path, problems);
    if (duration === undefined || duration >= MIN_HEALTH_DURATION) return duration;
    problems.push({ field: path, message: `ContainerSpec: ${name} in HealthConfig cannot be less than 1ms` });
    return undefined;
  };
}

const healthcheck = record({
  Test: strings,
  Interval: healthDuration("Interval"),
  Timeout: healthDuration("Timeout"),
  StartPeriod: healthDuration("StartPeriod"),
  StartInterval: healthDuration("StartInterval"),
  Retries: nonZero(integer(0, undefined, "ContainerSpec: Retries in HealthConfig cannot be negative")),
});

function dropped(value: unknown, path: string, problems: FieldProblem[]): undefined {
  text(value, path, problems);
}

const mountShape = record({
  Type: oneOfFolded(
    ["bind", "volume", "image", "tmpfs", "npipe"],
    (type) =>
      type.toLowerCase() === "cluster" ? "cluster volumes are not supported" : `invalid MountType: "${type}"`,
  ),
  Source: line(),
  Target: line(),
  ReadOnly: onlyTrue,
  // Of a desktop's file shares only; Docker does not keep it.
  Consistency: dropped as Shape<string>,
  BindOptions: record({
    Propagation: oneOfFolded(
      ["private", "rprivate", "shared", "rshared", "slave", "rslave"],
      (value) => `invalid MountPropagation: "${value}"`,
    ),
    NonRecursive: onlyTrue,
    CreateMountpoint: onlyTrue,
    ReadOnlyNonRecursive: onlyTrue,
    ReadOnlyForceRecursive: onlyTrue,
  }),
  VolumeOptions: record({
    NoCopy: onlyTrue,
    Labels: stringMap,
    Subpath: line(),
    DriverConfig: record({ Name: line(), Options: stringMap }),
  }),
  ImageOptions: record({ Subpath: line() }),
  TmpfsOptions: record({
    SizeBytes: nonZero(integer(0)),
    // Go reads the mode into 32 bits.
    Mode: nonZero(integer(0, 2 ** 32 - 1)),
    Options: unsupported("tmpfs options are not supported"),
  }),
});

/** Bind options as Docker keeps them: none if they say nothing, and else with a propagation. */
function settleBind(mount: NonNullable<Shaped<typeof mountShape>>): void {
  if (mount.BindOptions === undefined) return;
  if (Object.keys(mount.BindOptions).length === 0) delete mount.BindOptions;
  else mount.BindOptions = { Propagation: "rprivate", ...mount.BindOptions };
}

/** Mounts with a type and a target of their own. */
const mounts: Shape<NonNullable<Shaped<typeof mountShape>>[]> = (value, path, problems) => {
  const found = list(mountShape)(value, path, problems);
  const targets = new Set<string>();
  found?.forEach((each, index) => {
    each.Type ??= "bind";
    settleBind(each);
    if (each.Target === undefined) {
      problems.push({ field: `${path}[${index}].Target`, message: "mount target must be provided" });
    } else if (targets.has(each.Target)) {
      problems.push({
        field: `${path}[${index}].Target`,
        message: `ContainerSpec: duplicate mount point: ${each.Target}`,
      });
    } else targets.add(each.Target);
  });
  return found;
};

const privileges = record({
  CredentialSpec: refused("credential specs are not supported on Linux"),
  SELinuxContext: record({ Disable: onlyTrue, User: line(), Role: line(), Type: line(), Level: line() }),
  Seccomp: record({ Mode: oneOf(["default", "unconfined", "custom"]), Profile: base64() }),
  AppArmor: record({ Mode: oneOf(["default", "disabled"]) }),
  NoNewPrivileges: onlyTrue,
});

const ulimitGiven = record({ Name: line(), Hard: integer(-1), Soft: integer(-1) });

/** A limit that is not given is 0, and shown. */
const ulimit: typeof ulimitGiven = (value, path, problems) => {
  const given = ulimitGiven(value, path, problems);
  if (given === undefined) return undefined;
  const { Name, ...limits } = given;
  return { ...(Name !== undefined && { Name }), Hard: 0, Soft: 0, ...limits };
};

/** The shape of a container. */
export const containerShape = record({
  Image: line(),
  Labels: stringMap,
  Command: strings,
  Args: strings,
  Hostname: line(),
  Env: strings,
  Dir: line(),
  User: line(),
  Groups: strings,
  Privileges: privileges as Shape<Record<string, unknown>>,
  Init: flag,
  StopSignal: line(),
  TTY: onlyTrue,
  OpenStdin: onlyTrue,
  ReadOnly: onlyTrue,
  Mounts: mounts,
  StopGracePeriod: integer(0),
  Healthcheck: healthcheck,
  Hosts: strings,
  DNSConfig: record({ Nameservers: strings, Search: strings, Options: strings }),
  Secrets: secretReferences,
  Configs: configReferences,
  Isolation: isolation as Shape<string>,
  Sysctls: stringMap,
  CapabilityAdd: strings,
  CapabilityDrop: strings,
  Ulimits: list(ulimit),
  OomScoreAdj: nonZero(integer(-1000, 1000)),
});

/** Linux knows only the default isolation; it is shown always and stored never. */
function isolation(value: unknown, path: string, problems: FieldProblem[]): undefined {
  const word = text(value, path, problems);
  if (word !== undefined && word.toLowerCase() !== "default") {
    problems.push({ field: path, message: `isolation "${word}" is not supported on Linux` });
  }
}

/** A repository path with optional registry, tag and digest, as Docker's reference grammar has it. */
const IMAGE_REFERENCE = new RegExp(
  "^(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?|" +
    "\\[[0-9A-Fa-f:]+\\](?::[0-9]+)?)/)?" +
    "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)*" +
    "(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$",
);

/** Characters of the longest image reference looked at: name 255, tag 128, digest. */
const MAX_IMAGE_LENGTH = 512;

/** Notes what is wrong with an image reference. */
export function checkImage(image: string | undefined, path: string, problems: FieldProblem[]): void {
  if (image === undefined) {
    problems.push({ field: path, message: "ContainerSpec: image reference must be provided" });
  } else if (image.length > MAX_IMAGE_LENGTH || !IMAGE_REFERENCE.test(image)) {
    problems.push({ field: path, message: `ContainerSpec: "${image}" is not a valid repository/tag` });
  }
}
