import { CoveyError } from "../api/errors.ts";

/** A host name or IP address without brackets, and a port from 0 to 65535. */
export interface HostPort {
  host: string;
  port: number;
}

const HOST_PORT = /^(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^\s:[\]]*)):(\d{1,5})$/;

/** Reads HOST:PORT, [v6]:PORT or :PORT (all interfaces). Throws `invalid_argument`. */
export function parseAddress(address: string): HostPort {
  const match = HOST_PORT.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65535) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot use address "${address}": it is not HOST:PORT or [IPv6]:PORT`,
    );
  }
  return { host: match[1] ?? match[2] ?? "", port };
}

/** The opposite of {@linkcode parseAddress}. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
