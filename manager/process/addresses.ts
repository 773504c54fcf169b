/** Which address other nodes reach this one at, when no flag says it. */
import { isIP } from "node:net";
import { CoveyError } from "../../api/errors.ts";
import { DEFAULT_LISTEN, type ManagerOptions, withPort } from "./options.ts";

/** A network interface of this machine. */
export interface NetworkInterface {
  name: string;
  family: string;
  address: string;
}

/** Interfaces that never lead to another device. */
const LOCAL_INTERFACES = /^(lo|docker|br-|veth|virbr)/;

/** An address without its port; brackets of IPv6 are kept off. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

/** True if HOST:PORT names an IPv4 address that no interface has: right behind a NAT, wrong after a move. */
export function isForeign(address: string, interfaces: NetworkInterface[]): boolean {
  const host = hostOf(address);
  if (!/^[\d.]+$/.test(host) || host.startsWith("127.")) return false;
  return !interfaces.some((own) => own.address === host);
}

/** Addresses that a machine is remembered to have had; one whose address changes each day forgets the oldest. */
const MAX_OWN_HOSTS = 8;

/** What a node remembers of its addresses. */
export interface RememberedAddresses extends OwnAddresses {
  /** Hosts that it advertised and that were this machine's own, the newest last: what is none may be that of a NAT in front of it. */
  ownHosts?: string[];
}

/**
 * Where a node is that was at `before`: an address that was the machine's own, and is gone, is replaced by the only one that the
 * machine has now. With several, or none, it stays.
 */
export function followMachine(
  { listen, advertise, dataPath, ownHosts = [] }: RememberedAddresses,
  interfaces: NetworkInterface[],
): RememberedAddresses {
  const host = hostOf(advertise), [only, ...others] = outsideAddresses(interfaces);
  const remember = (now: string) => [...ownHosts.filter((own) => own !== now), now].slice(-MAX_OWN_HOSTS);
  const kept = { listen, advertise, ...(dataPath !== undefined && { dataPath }) };
  if (!isForeign(advertise, interfaces)) {
    const isOwn = interfaces.some(({ address }) => address === host);
    return { ...kept, ...(isOwn ? { ownHosts: remember(host) } : ownHosts.length > 0 && { ownHosts }) };
  }
  if (!ownHosts.includes(host) || only === undefined || others.length > 0) {
    return { ...kept, ...(ownHosts.length > 0 && { ownHosts }) };
  }
  const moved = (address: string) =>
    hostOf(address) === host ? withPort(only.address, portOf(address)) : address;
  return {
    listen: moved(listen),
    advertise: moved(advertise),
    ...(dataPath !== undefined && { dataPath: dataPath === host ? only.address : dataPath }),
    ownHosts: remember(only.address),
  };
}

/** IPv4 addresses that lead to other devices. */
function outsideAddresses(interfaces: NetworkInterface[]): NetworkInterface[] {
  return interfaces.filter(({ name, family, address }) =>
    family === "IPv4" && !LOCAL_INTERFACES.test(name) && !address.startsWith("127.") &&
    !address.startsWith("169.254.")
  );
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
  interfaces: NetworkInterface[],
): string {
  if (advertise) return withPort(advertise, portOf(listen));
  if (!isUnspecified(hostOf(listen))) return listen;
  const outside = outsideAddresses(interfaces);
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

/** Where this node listens, and where others reach it; both HOST:PORT. */
export interface OwnAddresses {
  listen: string;
  advertise: string;
  /** IP address for overlay networks, where it is another than the one that this node is known by. */
  dataPath?: string;
}

/** Docker's words for an address of a request that is none. */
const WANTED = {
  listen: "listen address must be an IP address or network interface (with optional port number)",
  advertise:
    "advertise address must be a non-zero IP address or network interface (with optional port number)",
};

/** The IP address of an interface, or of itself. Throws `invalid_argument` in Docker's manner. */
function dataPathAddress(given: string, interfaces: NetworkInterface[]): string {
  const named = interfaces.filter(({ name }) => name === given);
  const found = isIP(given) !== 0
    ? given
    : (named.find(({ family }) => family === "IPv4") ?? named[0])?.address;
  if (found !== undefined && !isUnspecified(found)) return found;
  throw new CoveyError(
    "invalid_argument",
    "data path address must be a non-zero IP address or network interface",
  );
}

/** A host's full name, which Docker does not take: devices are known by names where addresses change. */
const FULL_NAME = /^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/i;

/** HOST:PORT of a request, with an interface's name resolved. Throws `invalid_argument` in Docker's words. */
function requested(
  kind: keyof typeof WANTED,
  given: string,
  port: number | undefined,
  interfaces: NetworkInterface[],
): string {
  const address = withPort(given, port), host = hostOf(address);
  const named = interfaces.filter(({ name }) => name === host);
  const own = named.find(({ family }) => family === "IPv4") ?? named[0];
  const isHost = isIP(host) !== 0 || (kind === "advertise" && FULL_NAME.test(host));
  const found = isHost ? host : own?.address;
  const isPort = /:\d{1,5}$/.test(address) && portOf(address) <= 65_535;
  if (found === undefined || !isPort || (kind === "advertise" && isUnspecified(found))) {
    throw new CoveyError("invalid_argument", WANTED[kind]);
  }
  return withPort(found, portOf(address));
}

/**
 * What a request to start or join a cluster says of this node's addresses, else what the flags say. Throws
 * `invalid_argument` for what is no address.
 */
export function requestedAddresses(
  request: { ListenAddr?: string; AdvertiseAddr?: string; DataPathAddr?: string },
  options: Pick<ManagerOptions, "listen" | "advertise" | "dataPath">,
  interfaces: NetworkInterface[],
): OwnAddresses {
  const dataPath = request.DataPathAddr || options.dataPath;
  // Docker's client sends its default even if nothing was asked for; then the flags of this process count.
  const listen = !request.ListenAddr || request.ListenAddr === DEFAULT_LISTEN
    ? options.listen ?? DEFAULT_LISTEN
    : requested("listen", request.ListenAddr, undefined, interfaces);
  const advertise = request.AdvertiseAddr
    ? requested("advertise", request.AdvertiseAddr, portOf(listen), interfaces)
    : advertiseAddress(options.advertise, listen, interfaces);
  return { listen, advertise, ...(dataPath && { dataPath: dataPathAddress(dataPath, interfaces) }) };
}

/** The addresses of a node that was at `before`: a later start may name others. */
export function movedAddresses(
  before: OwnAddresses,
  options: Pick<ManagerOptions, "listen" | "advertise" | "dataPath">,
  interfaces: () => NetworkInterface[],
): OwnAddresses {
  const listen = options.listen ?? before.listen;
  const dataPath = options.dataPath ? dataPathAddress(options.dataPath, interfaces()) : before.dataPath;
  const carrier = dataPath === undefined ? {} : { dataPath };
  if (listen === before.listen && !options.advertise) return { ...before, ...carrier };
  return { listen, advertise: advertiseAddress(options.advertise, listen, interfaces()), ...carrier };
}
