import type { Socket } from "node:net";
import tls from "node:tls";
import { getLogger } from "../api/log.ts";
import type { CancelTimer, Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { Acceptor, type AcceptorOptions } from "./acceptor.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { peerChainPEM } from "./peer_chain.ts";
import { ALPN, remoteAddress, TLS_OPTIONS, TLSPipe } from "./tls_pipe.ts";
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

function context(material: TLSMaterial): tls.SecureContextOptions {
  const { minVersion, maxVersion } = TLS_OPTIONS;
  return { minVersion, maxVersion, cert: material.certificatePEM, key: material.privateKeyPEM };
}

/**
 * Sockets in their handshake, by remote address: cut when it takes too long, or at once when there are too
 * many.
 */
class Handshakes {
  readonly #open = new Map<string, { socket: Socket; cancelTimer: CancelTimer }>();
  readonly #acceptor: Acceptor;
  readonly #clock: Clock;

  constructor(acceptor: Acceptor, clock: Clock) {
    this.#acceptor = acceptor;
    this.#clock = clock;
  }

  begin(socket: Socket): void {
    const { maxConnections, handshakeTimeoutMs } = this.#acceptor.limits;
    // As many again may shake hands as may be open, so that a full listener can still say that it is full.
    if (this.#open.size >= maxConnections) return void socket.destroy();
    const address = remoteAddress(socket);
    const cancelTimer = this.#clock.setTimer(handshakeTimeoutMs, () => socket.destroy());
    this.#open.set(address, { socket, cancelTimer });
    socket.on("close", () => this.finish(address));
    socket.on("error", () => {});
  }

  finish(address: string): void {
    this.#open.get(address)?.cancelTimer();
    this.#open.delete(address);
  }

  close(): void {
    for (const { socket } of [...this.#open.values()]) socket.destroy();
  }
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
  const acceptor = new Acceptor(options);
  const handshakes = new Handshakes(acceptor, options.clock);
  const server = tls.createServer({ ...TLS_OPTIONS, ...context(options.identity()), requestCert: true });
  server.on("connection", (socket: Socket) => handshakes.begin(socket));
  server.on("tlsClientError", (_error: Error, socket: Socket) => void socket.destroy());
  server.on("secureConnection", (socket: tls.TLSSocket) => {
    handshakes.finish(remoteAddress(socket));
    socket.on("error", () => {});
    acceptor.accept(new TLSPipe(socket), () => {
      if (socket.alpnProtocol !== ALPN) {
        throw new CoveyError("failed_precondition", `Cannot accept connection: it does not speak ${ALPN}`);
      }
      const chain = peerChainPEM(socket);
      return { peerChainPEM: chain, peer: options.verifyPeer(chain) };
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", (error: Error & { code?: string }) => {
      const isForeign = error.code === "EINVAL" || error.code === "EADDRNOTAVAIL";
      const foreign = isForeign ? "; is it an address of this machine?" : "";
      const message = `Cannot listen on ${options.listen}: ${error.message}${foreign}`;
      if (server.listening) logger.warn(message);
      reject(new CoveyError("unavailable", message, { cause: error }));
    });
    server.listen(port, ...(host ? [host] : []), () => resolve());
  });
  const bound = server.address() as { address: string; port: number };
  return {
    address: formatAddress(bound.address, bound.port),
    get connections() {
      return acceptor.connections;
    },
    refreshIdentity: () => server.setSecureContext(context(options.identity())),
    async close() {
      const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
      handshakes.close();
      await acceptor.close();
      await stopped;
    },
  };
}
