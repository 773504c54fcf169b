/** Addresses of managers given by name to a running process, whose sandbox does not let it look names up. */
import { CoveyError } from "../../api/errors.ts";
import { formatAddress, parseAddress } from "../../transport/mod.ts";

const HOST_NAME = /^(?=.*[A-Za-z])[0-9A-Za-z][0-9A-Za-z._-]{0,252}$/;

/** IPv4 addresses of a host; empty if it has none or the name is not known. */
export type LookUp = (host: string) => Promise<string[]>;

/** Asks the system, outside the sandbox, with `program`: the only one besides the agent that a manager may start. */
export function systemLookUp(program: string): LookUp {
  return async (host) => {
    const { stdout } = await new Deno.Command(program, { args: [host], stdin: "null", stderr: "null" })
      .output();
    return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  };
}

/**
 * `addresses` (HOST:PORT) with each name that `mayDial` refuses replaced by what it stands for now; the cluster's own list of
 * managers takes over once the node is in. Throws `unavailable` naming a host that is not known.
 */
export async function withoutNames(
  addresses: readonly string[],
  lookUp: LookUp,
  mayDial: (address: string) => boolean = inSandbox,
): Promise<string[]> {
  const found = await Promise.all(addresses.map(async (address) => {
    const { host, port } = parseAddress(address);
    if (!HOST_NAME.test(host) || mayDial(address)) return [address];
    const hosts = await lookUp(host);
    if (hosts.length > 0) return hosts.map((each) => formatAddress(each, port));
    throw new CoveyError("unavailable", `Cannot find the host ${host}: its name is not known here`);
  }));
  return [...new Set(found.flat())];
}

function inSandbox(host: string): boolean {
  return Deno.permissions.querySync({ name: "net", host }).state === "granted";
}
