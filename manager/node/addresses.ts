/** Which address other nodes reach this one at, when no flag says it. */
import { CoveyError } from "../../api/errors.ts";
import { withPort } from "../options.ts";

/** Interfaces that never lead to another device. */
const LOCAL_INTERFACES = /^(lo|docker|br-|veth|virbr)/;

/** An address without its port; brackets of IPv6 are kept off. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

/** The port of HOST:PORT. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

function isUnspecified(host: string): boolean {
  return host === "" || host === "0.0.0.0" || host === "::";
}

/**
 * HOST:PORT to advertise: `advertise` if given, the listen address if it names one host, else the only address of this
 * machine that leads outside. Throws `invalid_argument` naming the candidates when there are several, as docker does.
 */
export function advertiseAddress(
  advertise: string | undefined,
  listen: string,
  interfaces: { name: string; family: string; address: string }[],
): string {
  if (advertise) return withPort(advertise, portOf(listen));
  if (!isUnspecified(hostOf(listen))) return listen;
  const outside = interfaces.filter(({ name, family, address }) =>
    family === "IPv4" && !LOCAL_INTERFACES.test(name) && !address.startsWith("127.") &&
    !address.startsWith("169.254.")
  );
  if (outside.length > 1) {
    const list = outside.map(({ name, address }) => `${address} (${name})`).join(", ");
    throw new CoveyError(
      "invalid_argument",
      `Cannot choose the address to advertise: this machine has ${list}; name one with --advertise`,
    );
  }
  return withPort(outside[0]?.address ?? "127.0.0.1", portOf(listen));
}

/** True if a request says where to listen or what to advertise; docker's client always sends its default listen address. */
export function namesAddress(request: { ListenAddr?: string; AdvertiseAddr?: string }): boolean {
  return Boolean(request.AdvertiseAddr) || !(request.ListenAddr || "0.0.0.0:").startsWith("0.0.0.0:");
}
