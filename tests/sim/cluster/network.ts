/** A simulated network under the production transport: its codec, sessions, calls, limits and time-outs. */
import { CoveyError } from "../../../api/errors.ts";
import type { Clock } from "../../../api/clock.ts";
import { Acceptor, type AcceptorOptions } from "../../../transport/acceptor.ts";
import { awaitWelcome, DialTimer } from "../../../transport/dialing.ts";
import { DEFAULT_LIMITS } from "../../../transport/limits.ts";
import { Session } from "../../../transport/session.ts";
import type { CallOptions, Connection, Dialer, Listener, PeerIdentity } from "../../../transport/types.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { Host } from "./host.ts";
import { FAIR, NetworkPath, type Weather } from "./path.ts";
import { SimPipe } from "./pipe.ts";
import type { World } from "./world.ts";

/** The port that everybody listens at. */
const PORT = 2377;

interface Endpoint {
  host: Host;
  life: number;
  acceptor: Acceptor;
  identity: PeerIdentity;
}

/** HOST:PORT of a machine. */
export function addressOf(host: string): string {
  return `${host}:${PORT}`;
}

/** All machines and the ways between them. */
export class SimNetwork {
  weather: Weather = FAIR;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #hosts = new Map<string, Host>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #paths = new Map<string, NetworkPath>();
  readonly #refused = new Set<string>();
  #pipes: SimPipe[] = [];
  #ports = 40_000;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.fork();
  }

  /** Plugs a machine in. */
  add(host: Host): void {
    this.#hosts.set(host.name, host);
  }

  /** Serves on the present life of `host`, at its address. */
  listen(host: Host, identity: PeerIdentity, served: AcceptorOptions): Listener {
    const acceptor = new Acceptor(served);
    const endpoint = { host, life: host.life, acceptor, identity };
    this.#endpoints.set(host.name, endpoint);
    return {
      address: addressOf(host.name),
      get connections() {
        return acceptor.connections;
      },
      refreshIdentity: () => {},
      close: async () => {
        if (this.#endpoints.get(host.name) === endpoint) this.#endpoints.delete(host.name);
        await acceptor.close();
      },
    };
  }

  /** Dials from the present life of `host`. */
  dialer(host: Host, identity: PeerIdentity, clock: Clock): Dialer {
    const { life } = host;
    return {
      dial: (address, options = {}) =>
        life === host.life ? this.#dial(host, identity, clock, address, options) : new Promise(() => {}),
    };
  }

  /** Silences one direction, or ends that. */
  stall(from: string, to: string, stalled: boolean): void {
    this.#path(from, to).stalled = stalled;
  }

  /** Resets what is open between two machines and refuses dials, or ends that. */
  refuse(a: string, b: string, refused: boolean): void {
    for (const key of [`${a}>${b}`, `${b}>${a}`]) {
      if (refused) this.#refused.add(key);
      else this.#refused.delete(key);
    }
    if (refused) this.reset(a, b);
  }

  /** Resets the connections between two machines. */
  reset(a: string, b: string): void {
    for (const pipe of this.#pipes) {
      const peer = pipe.remoteAddress.split(":")[0]!;
      if ((pipe.host.name === a && peer === b) || (pipe.host.name === b && peer === a)) pipe.reset();
    }
  }

  /** Every way works and is fast. */
  heal(): void {
    this.weather = FAIR;
    this.#refused.clear();
    for (const path of this.#paths.values()) path.stalled = false;
  }

  /** The program on a machine has crashed; its kernel, if it goes on, resets what was open. */
  crashed(host: Host): void {
    for (const pipe of this.#pipes) if (pipe.host === host && host.powered) pipe.abandon();
    this.#pipes = this.#pipes.filter((pipe) => !pipe.over);
  }

  async #dial(
    from: Host,
    identity: PeerIdentity,
    clock: Clock,
    address: string,
    options: CallOptions,
  ): Promise<Connection> {
    const timer = new DialTimer(address, clock, DEFAULT_LIMITS, options);
    try {
      const { pipe, peer } = await this.#handshake(from, identity, address, timer);
      const session = new Session({
        pipe,
        dialed: true,
        peer,
        peerChainPEM: peer.certificatePEM,
        router: undefined,
        clock,
        limits: DEFAULT_LIMITS,
      });
      return await awaitWelcome(session, timer);
    } finally {
      timer.stop();
    }
  }

  /** One round trip. A machine without power does not answer; one without the program refuses. */
  #handshake(
    from: Host,
    identity: PeerIdentity,
    address: string,
    timer: DialTimer,
  ): Promise<{ pipe: SimPipe; peer: PeerIdentity }> {
    const name = address.split(":")[0]!;
    const there = this.#path(from.name, name), back = this.#path(name, from.name);
    const { life } = from;
    return new Promise((resolve, reject) => {
      let given = false;
      timer.onEnd((error) => {
        given = true;
        reject(error);
      });
      const answer = (run: () => void) => void back.carry(() => from.enter(life, run), 0);
      there.carry(() => {
        const endpoint = this.#endpoints.get(name);
        if (given || !this.#hosts.get(name)?.powered) return;
        if (
          endpoint?.life !== endpoint?.host.life || !endpoint || this.#refused.has(`${from.name}>${name}`)
        ) {
          const refused = `Cannot connect to ${address}: connection refused`;
          return answer(() => reject(new CoveyError("unavailable", refused)));
        }
        endpoint.host.enter(endpoint.life, () => {
          const pipe = this.#connect(from, life, endpoint, identity);
          answer(() => given ? pipe.destroy() : resolve({ pipe, peer: endpoint.identity }));
        });
      }, 0);
    });
  }

  #connect(from: Host, life: number, { host, acceptor }: Endpoint, identity: PeerIdentity): SimPipe {
    const [near, far] = SimPipe.pair(
      {
        host: from,
        life,
        address: `${from.name}:${this.#ports++}`,
        toPeer: this.#path(from.name, host.name),
      },
      { host, life: host.life, address: addressOf(host.name), toPeer: this.#path(host.name, from.name) },
    );
    if (this.#pipes.length > 200) this.#pipes = this.#pipes.filter((pipe) => !pipe.over);
    this.#pipes.push(near, far);
    acceptor.accept(far, () => ({ peer: identity, peerChainPEM: identity.certificatePEM }));
    return near;
  }

  #path(from: string, to: string): NetworkPath {
    const key = `${from}>${to}`;
    let path = this.#paths.get(key);
    if (!path) this.#paths.set(key, path = new NetworkPath(this.#world, this.#random, () => this.weather));
    return path;
  }
}
