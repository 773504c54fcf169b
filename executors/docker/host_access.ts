/** Asks the device's own list whether a container may have what it asks for: a manager's word is not enough. */
import { CoveyError } from "../../api/errors.ts";
import { accessOf } from "../../api/host_access.ts";
import type { Task } from "../../api/task.ts";
import { askShim } from "../ask_shim.ts";

/** What goes into a container's `HostConfig`. */
export interface GrantedAccess {
  Devices?: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[];
  Privileged?: true;
}

const LET_IN = "let in";

/**
 * What `task`'s container gets of the device.
 *
 * @throws {CoveyError} `permission_denied`, with the first that the device forbids.
 */
export async function grantedAccess(task: Task, shim: string): Promise<GrantedAccess> {
  const { devices, privileged } = accessOf(task);
  if (devices.length === 0 && !privileged) return {};
  const asked = devices.flatMap(({ path }) => ["device", path]);
  if (privileged) asked.push("privileged", task.Spec.ContainerSpec!.Image);
  const [said, ...found] = (await askShim(shim, ["container", ...asked])).trimEnd().split("\n");
  if (said !== LET_IN || found.length !== devices.length) {
    const why = said?.startsWith("refused ") ? said.slice("refused ".length) : "the shim does not say why";
    throw new CoveyError("permission_denied", `Cannot give the container what it asks for: ${why}`);
  }
  return {
    // A link may lead elsewhere by the time that the engine follows it.
    ...(devices.length > 0 && {
      Devices: devices.map(({ inContainer, permissions }, index) => ({
        PathOnHost: found[index]!,
        PathInContainer: inContainer,
        CgroupPermissions: permissions,
      })),
    }),
    ...(privileged && { Privileged: true }),
  };
}
