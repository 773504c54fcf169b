import net from "node:net";
import tls from "node:tls";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { parseAddress } from "./address.ts";
import { awaitWelcome, DialTimer } from "./dialing.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { peerChainPEM } from "./peer_chain.ts";
import { Session } from "./session.ts";
import { ALPN, TLS_OPTIONS, TLSPipe } from "./tls_pipe.ts";
import type { CallOptions, Connection, Dialer, Router, TLSMaterial, Traffic, VerifyPeer } from "./types.ts";

/** Options of {@linkcode tlsDialer}. */
export interface TLSDialerOptions {
  /** This node's certificate, asked for at each dial; undefined to come without one. */
  identity: () => TLSMaterial | undefined;
  verifyPeer: VerifyPeer;
  clock: Clock;
  limits?: Partial<Limits>;
  /** Methods that the dialed end may call in return; none if absent. */
  router?: Router;
  traffic?: Traffic;
}

/** In words that help: what the sandbox refuses, Deno and Node report as if somebody could answer a prompt. */
function reason(error: Error & { code?: string; syscall?: string }): string {
  const looksUp = error.syscall === "getaddrinfo";
  if (error instanceof Deno.errors.NotCapable || (looksUp && error.code === "EPERM")) {
    return "the sandbox of this program does not reach there; name the address in --join when it starts";
  }
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join("; ");
  return error.message;
}

function connect(
  address: string,
  material: TLSMaterial | undefined,
  timer: DialTimer,
): Promise<tls.TLSSocket> {
  const { host, port } = parseAddress(address);
  const identity = material ? { cert: material.certificatePEM, key: material.privateKeyPEM } : {};
  return new Promise((resolve, reject) => {
    const fail = (error: CoveyError) => {
      plain.destroy();
      reject(error);
    };
    const onError = (error: Error) =>
      fail(new CoveyError("unavailable", `Cannot connect to ${address}: ${reason(error)}`, { cause: error }));
    const onClose = () => onError(new Error("closed during the handshake"));
    // A TLS socket that connects by itself and is refused is kept for ever (Deno 2.9.5): an agent dials for months.
    const plain = net.connect({ host: host || "localhost", port });
    plain.on("error", onError);
    plain.on("close", onClose);
    plain.once("connect", () => {
      // Sessions are resumed by server name: a name of its own makes each dial see the peer's present certificate.
      const servername = `${crypto.randomUUID()}.covey`;
      const socket = tls.connect({ ...TLS_OPTIONS, ...identity, servername, socket: plain });
      socket.on("error", onError);
      socket.once("secureConnect", () => {
        plain.off("close", onClose);
        resolve(socket);
      });
    });
    timer.onEnd(fail);
  });
}

/** Opens mutual-TLS connections. */
export function tlsDialer(options: TLSDialerOptions): Dialer {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { clock, router } = options;
  return {
    async dial(address: string, callOptions: CallOptions = {}): Promise<Connection> {
      const timer = new DialTimer(address, clock, limits, callOptions);
      try {
        const socket = await connect(address, options.identity(), timer);
        let session: Session;
        try {
          if (socket.alpnProtocol !== ALPN) {
            throw new CoveyError("unavailable", `Cannot connect to ${address}: it does not speak ${ALPN}`);
          }
          const chain = peerChainPEM(socket);
          const peer = options.verifyPeer(chain);
          session = new Session({
            pipe: new TLSPipe(socket),
            dialed: true,
            peer,
            peerChainPEM: chain,
            router,
            clock,
            limits,
            traffic: options.traffic,
          });
        } catch (error) {
          socket.destroy();
          throw CoveyError.from(error);
        }
        return await awaitWelcome(session, timer);
      } finally {
        timer.stop();
      }
    },
  };
}
