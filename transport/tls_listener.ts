import { createServer, type Server } from "node:net";
import { createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { getLogger } from "../api/log.ts";
import { CoveyError } from "../api/errors.ts";
import { Acceptor, type AcceptorOptions } from "./acceptor.ts";
import { formatAddress, type HostPort, parseAddress } from "./address.ts";
import { ownDescriptors } from "./descriptors.ts";
import { Handshakes } from "./handshakes.ts";
import { ACCEPT_BACKLOG, DEFAULT_LIMITS, type Limits, MAX_HANDSHAKES, MAX_REFUSALS } from "./limits.ts";
import { peerChainPEM } from "./peer_chain.ts";
import { ALPN, TLS_OPTIONS, TLSPipe } from "./tls_pipe.ts";
import type { Listener, TLSMaterial, VerifyPeer } from "./types.ts";

const logger = getLogger(["covey", "transport"]);

/** Options of {@linkcode listenTLS}. */
export interface TLSListenOptions extends AcceptorOptions {
  /** HOST:PORT, [v6]:PORT or :PORT; port 0 takes any free one. */
  listen: string;
  /** This node's certificate and key, asked for now and at each `refreshIdentity`. */
  identity: () => TLSMaterial;
  verifyPeer: VerifyPeer;
}

function contextOf(material: TLSMaterial): SecureContext {
  const { minVersion, maxVersion } = TLS_OPTIONS;
  return createSecureContext({
    minVersion,
    maxVersion,
    cert: material.certificatePEM,
    key: material.privateKeyPEM,
  });
}

/** Asks first: what the sandbox refuses, the server throws where nobody can catch it. */
async function checkSandbox(host: string, port: number): Promise<void> {
  const address = formatAddress(host, port);
  const { state } = await Deno.permissions.query({
    name: "net",
    host: formatAddress(host || "0.0.0.0", port),
  });
  if (state === "granted") return;
  throw new CoveyError(
    "permission_denied",
    `Cannot listen on ${address}: the sandbox of this program has other ports; name the address in --listen when it starts`,
  );
}

/**
 * Accepts mutual-TLS connections. Errors: `invalid_argument` (address), `permission_denied` (outside the
 * sandbox), `unavailable` (the port cannot be had).
 */
export async function listenTLS(options: TLSListenOptions): Promise<Listener> {
  const { host, port } = parseAddress(options.listen);
  await checkSandbox(host, port);
  const { nodes } = await ownDescriptors();
  const acceptor = new Acceptor({ ...options, limits: limitsWithin(nodes, options.limits) });
  sayLimit(acceptor.limits, options.limits);
  let secureContext = contextOf(options.identity());
  const handshakes = new Handshakes({
    clock: options.clock,
    most: Math.min(MAX_HANDSHAKES, Math.ceil(nodes / 4)),
    timeoutMs: acceptor.limits.handshakeTimeoutMs,
    secureContext: () => secureContext,
    done: (socket) => welcome(socket, acceptor, options.verifyPeer),
  });
  const server = createServer((socket) => handshakes.begin(socket));
  await listening(server, options.listen, { host, port });
  const bound = server.address() as { address: string; port: number };
  return {
    address: formatAddress(bound.address, bound.port),
    get connections() {
      return acceptor.connections;
    },
    refreshIdentity: () => secureContext = contextOf(options.identity()),
    async close() {
      const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
      handshakes.close();
      await acceptor.close();
      await stopped;
    },
  };
}

/** A quarter of the descriptors is for handshakes, so that a full listener can still say that it is full. */
function limitsWithin(descriptors: number, limits: Partial<Limits> = {}): Partial<Limits> {
  const { maxConnections, managerReserve } = { ...DEFAULT_LIMITS, ...limits };
  const most = Math.min(maxConnections, Math.floor(descriptors * 3 / 4));
  return { ...limits, maxConnections: most, managerReserve: Math.min(managerReserve, Math.floor(most / 4)) };
}

/** Says it where the system allows fewer connections than there could be. */
function sayLimit(
  { maxConnections }: Limits,
  { maxConnections: wanted }: Partial<Limits> = DEFAULT_LIMITS,
): void {
  if (maxConnections >= (wanted ?? DEFAULT_LIMITS.maxConnections)) return;
  logger.info("{maxConnections} connections are the limit: the system allows too few descriptors for more", {
    maxConnections,
  });
}

function welcome(socket: TLSSocket, acceptor: Acceptor, verifyPeer: VerifyPeer): void {
  // To say no takes a moment, which many at once must not make use of.
  if (acceptor.connections >= acceptor.limits.maxConnections + MAX_REFUSALS) return void socket.destroy();
  acceptor.accept(new TLSPipe(socket), () => {
    if (socket.alpnProtocol !== ALPN) {
      throw new CoveyError("failed_precondition", `Cannot accept connection: it does not speak ${ALPN}`);
    }
    const chain = peerChainPEM(socket);
    return { peerChainPEM: chain, peer: verifyPeer(chain) };
  });
}

/** Listens, or rejects with why not. */
function listening(server: Server, listen: string, { host, port }: HostPort): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.on("error", (error: Error & { code?: string }) => {
      const isForeign = error.code === "EINVAL" || error.code === "EADDRNOTAVAIL";
      const foreign = isForeign ? "; is it an address of this machine?" : "";
      const message = `Cannot listen on ${listen}: ${error.message}${foreign}`;
      if (server.listening) logger.warn(message);
      reject(new CoveyError("unavailable", message, { cause: error }));
    });
    server.listen({ port, ...(host && { host }), backlog: ACCEPT_BACKLOG }, () => resolve());
  });
}
