/** What the names of devices may be: checked by managers before they are stored, and by the device. */
import type { FieldProblem } from "../errors.ts";

/** Devices of one program: each is a look at the list of what the device lets in. */
export const MAX_DEVICES = 50;

/** Every problem of `devices`; `path` is their field's. */
export function deviceProblems(path: string, devices: readonly string[]): FieldProblem[] {
  const isName = (device: string) =>
    /^\/dev(\/[A-Za-z0-9_.:+-]+)+$/.test(device) && !/\/\.\.?(\/|$)/.test(device);
  return devices.flatMap((device, i) =>
    isName(device)
      ? []
      : [{ field: `${path}[${i}]`, message: `must be a path in /dev without . and ..: ${device}` }]
  );
}
