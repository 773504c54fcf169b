/**
 * What a container asks for of its device, as labels of the container, since no client of Docker's has a field for it in a
 * service:
 *
 *     covey.devices: /dev/ttyUSB0, /dev/video0:/dev/camera:r
 *     covey.privileged: true
 *
 * A device is written as `docker run --device` takes it. Which of it a device gives, its own list says.
 */
import type { FieldProblem } from "./errors.ts";
import type { Task } from "./task.ts";

/** The labels. */
const LABEL_DEVICES = "covey.devices";
const LABEL_PRIVILEGED = "covey.privileged";

/** Devices of one container: more than any board has of its own, and few enough to be named in one call. */
const MAX_DEVICES = 64;
/** Characters of a path below /dev: far above what a kernel makes. */
const MAX_PATH_LENGTH = 255;

/** A device of the host, and how the container has it. */
export interface DeviceAccess {
  path: string;
  inContainer: string;
  /** Of read, write and mknod. */
  permissions: string;
}

/** Devices, and whether the container may do all that root may on the host. */
export interface HostAccess {
  devices: DeviceAccess[];
  privileged: boolean;
}

/** What `labels` ask for; what cannot be read is noted as a problem below `path`. */
export function labelledAccess(
  labels: Record<string, string> = {},
  path: string,
  problems: FieldProblem[],
): HostAccess {
  const bad = (label: string, message: string) => problems.push({ field: `${path}.${label}`, message });
  const privileged = labels[LABEL_PRIVILEGED] ?? "false";
  if (privileged !== "true" && privileged !== "false") {
    bad(LABEL_PRIVILEGED, `must be true or false: current value is "${privileged}"`);
  }
  const words = labels[LABEL_DEVICES]?.split(",").map((word) => word.trim()) ?? [];
  if (words.length > MAX_DEVICES) {
    bad(LABEL_DEVICES, `has ${words.length} devices, at most ${MAX_DEVICES} are allowed`);
    return { devices: [], privileged: false };
  }
  const devices = words.flatMap((word) => {
    const device = deviceOf(word);
    if (device === undefined) {
      bad(LABEL_DEVICES, `must be /dev/PATH[:PATH IN THE CONTAINER][:rwm]: current value is "${word}"`);
    }
    return device ?? [];
  });
  return { devices, privileged: privileged === "true" };
}

function deviceOf(word: string): DeviceAccess | undefined {
  const [path = "", ...more] = word.split(":");
  const permissions = more.length > 0 && isPermissions(more.at(-1)!) ? more.pop()! : "rwm";
  const inContainer = more.shift() ?? path;
  const isGood = more.length === 0 && path.startsWith("/dev/") && [path, inContainer].every(isPath);
  return isGood ? { path, inContainer, permissions } : undefined;
}

function isPermissions(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}

function isPath(path: string): boolean {
  return path.length <= MAX_PATH_LENGTH && /^(?:\/[A-Za-z0-9._+@=-]+)+$/.test(path) &&
    !path.split("/").some((part) => part === "." || part === "..");
}

/** All that `task`'s container is to have of its device: what its labels ask for, and the paths that it claimed. */
export function accessOf({ Spec, AssignedGenericResources = [] }: Task): HostAccess {
  const claimed = AssignedGenericResources.flatMap((resource): DeviceAccess[] => {
    if (!("NamedResourceSpec" in resource) || resource.NamedResourceSpec.Kind !== "dev") return [];
    const path = resource.NamedResourceSpec.Value;
    return [{ path, inContainer: path, permissions: "rwm" }];
  });
  const { devices, privileged } = labelledAccess(Spec.ContainerSpec?.Labels, "", []);
  return { devices: [...claimed, ...devices], privileged };
}
