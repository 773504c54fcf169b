/** Where the shim is unless the launcher says otherwise. */
import { fileURLToPath } from "node:url";

/** The shim of the process executor, which also keeps secrets in memory for others. */
export function defaultShim(): string {
  return fileURLToPath(new URL("./process/shim.sh", import.meta.url));
}
