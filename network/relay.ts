/**
 * This node's part in connections between nodes that do not reach each other.
 *
 *     a task here ---> taken by the rules of the namespace ---> listener ---> call to the manager ---> ...
 *     ... ---> ask of the manager ---> call to the manager ---> by its place (see askers.ts) to a task here
 */
import type { Clock } from "../api/clock.ts";
import type { Ask } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { Random } from "../api/random.ts";
import { MAX_RELAYED_PER_NODE, type RelayAsk, type RelayCall } from "../api/relay.ts";
import type { Askers } from "./askers.ts";
import type { NetworkHelper } from "./helper_client.ts";
import { networksOf } from "./names.ts";
import type { NodeNetworks } from "./node_networks.ts";
import type { TasksHere } from "./askers.ts";
import { type OpenRelay, pipeRelay, type TaskConnection } from "./relay_pipe.ts";

const log = getLogger(["covey", "network"]);

/** Where the rules lead connections that are to be relayed; the same on every host. */
const RELAY_ADDRESS = "169.254.77.1", RELAY_PORT = 7754;
/** How long a task here may take to accept a connection. */
const CONNECT_LIMIT_MS = 10_000;

/** Opens the stream that a manager asked for by `id`. */
export type OpenAsked = (
  id: string,
  toManager: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => AsyncIterable<unknown>;

/** What it works with. */
export interface NodeRelayOptions {
  told: NodeNetworks;
  tasks: TasksHere;
  askers: Askers;
  helper: NetworkHelper;
  clock: Clock;
  random: Random;
  address?: string;
  port?: number;
  /** A connection to a task here, by its place. */
  connect?: (place: string, port: number) => Promise<TaskConnection>;
}

/** The relayed connections of one node. */
export class NodeRelay {
  readonly #options: NodeRelayOptions;
  readonly #open = new Set<Promise<void>>();
  #ofSession: { openRelay: OpenRelay; openAsked: OpenAsked; abort: AbortController } | undefined;
  #asked = new Set<string>();
  #listener: Deno.TcpListener | undefined;

  constructor(options: NodeRelayOptions) {
    this.#options = options;
  }

  /** A session is there. */
  connect(openRelay: OpenRelay, openAsked: OpenAsked): void {
    this.disconnect();
    this.#ofSession = { openRelay, openAsked, abort: new AbortController() };
  }

  /** It is gone, and with it its connections. */
  disconnect(): void {
    this.#ofSession?.abort.abort(new CoveyError("unavailable", "Cannot go on: the session ended"));
    this.#ofSession = undefined;
    this.#asked.clear();
  }

  /** All that is asked for now. Each is made once. */
  apply(asks: readonly Ask[]): void {
    const before = this.#asked, wanted = asks.filter((ask): ask is RelayAsk => ask.Kind === "relay");
    this.#asked = new Set(wanted.map(({ ID }) => ID));
    for (const ask of wanted) if (!before.has(ask.ID)) this.#keep(this.#answer(ask));
  }

  /** Connections that are open or being opened. */
  get size(): number {
    return this.#open.size;
  }

  /** Takes connections from now on; returns the port. */
  listen(): number {
    const { address = RELAY_ADDRESS, port = RELAY_PORT } = this.#options;
    this.#listener = Deno.listen({ hostname: address, port });
    void this.#accept(this.#listener);
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  /** Takes none any more, and ends those that are open. */
  async close(): Promise<void> {
    this.#listener?.close();
    this.#listener = undefined;
    this.disconnect();
    await Promise.all(this.#open);
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    try {
      for await (const connection of listener) this.#keep(this.#take(connection));
    } catch (thrown) {
      if (this.#listener !== listener) return;
      log.warn("Cannot take connections to other nodes any more: {message}", {
        message: CoveyError.from(thrown).message,
      });
    }
  }

  #keep(work: Promise<void>): void {
    const done = work.catch((thrown) => {
      log.debug("a relayed connection ended: {message}", { message: CoveyError.from(thrown).message });
    }).finally(() => this.#open.delete(done));
    this.#open.add(done);
  }

  /** A connection of a task here. */
  async #take(connection: Deno.TcpConn): Promise<void> {
    try {
      const session = this.#ofSession, { hostname, port } = connection.remoteAddr as Deno.NetAddr;
      const asker = this.#options.askers.at(hostname);
      if (asker === undefined || session === undefined || this.#open.size > MAX_RELAYED_PER_NODE) return;
      const to = await this.#whereTo(asker, port);
      if (to === undefined) return;
      const { openRelay, abort } = session;
      await pipeRelay(connection, (toManager) => openRelay(to, toManager, abort.signal));
    } finally {
      closeQuietly(connection);
    }
  }

  /** What a task meant by its connection from `port`: the rules have noted it. */
  async #whereTo(asker: string, port: number): Promise<Omit<RelayCall, "SessionID"> | undefined> {
    const { helper, told, tasks, random } = this.#options;
    const [address = "", number] = (await helper.ask("relayed", [asker, String(port)])).split(" ");
    for (const { ID } of networksOf(told, tasks, asker)) {
      const relayed = new Set(told.relayed(ID));
      const found = told.services(ID).flatMap(({ VirtualIP, Backends }) =>
        Backends.filter(({ Address }) =>
          relayed.has(Address) && (VirtualIP === address || Address === address)
        )
      );
      if (found.length === 0) continue;
      const { Address } = found[Math.floor(random.float() * found.length)]!;
      return { NetworkID: ID, Address, Port: Number(number) };
    }
    return undefined;
  }

  /** Connects a task here with who asks for it at the manager. */
  async #answer({ ID, NetworkID, Address, Port }: RelayAsk): Promise<void> {
    const session = this.#ofSession;
    if (session === undefined || this.#open.size > MAX_RELAYED_PER_NODE) return;
    const { askers, told } = this.#options;
    const isHere = told.networks.has(NetworkID) &&
      [...this.#options.tasks()].some(({ NetworkAttachments = [] }) =>
        NetworkAttachments.some((each) =>
          each.NetworkID === NetworkID && each.Addresses[0]?.split("/", 1)[0] === Address
        )
      );
    const place = isHere ? askers.placeOf(Address) : undefined;
    const refuse = (message: string) => {
      // Who asks hears why.
      const refusal = failing(new CoveyError("unavailable", `Cannot relay: ${message}`));
      return drained(session.openAsked(ID, refusal, session.abort.signal));
    };
    if (place === undefined) return await refuse(`nothing of network ${NetworkID} is at ${Address} here`);
    const connection = await this.#connect(place, Port).catch((thrown) => CoveyError.from(thrown));
    if (connection instanceof CoveyError) return await refuse(`${Address}:${Port}: ${connection.message}`);
    const { openAsked, abort } = session;
    await pipeRelay(connection, (toManager) => openAsked(ID, toManager, abort.signal));
  }

  async #connect(place: string, port: number): Promise<TaskConnection> {
    const { clock, connect = (hostname, port) => Deno.connect({ hostname, port }) } = this.#options;
    const { promise, reject } = Promise.withResolvers<never>();
    const cancel = clock.setTimer(
      CONNECT_LIMIT_MS,
      () => reject(new CoveyError("deadline_exceeded", "it does not accept the connection")),
    );
    const connecting = connect(place, port);
    try {
      return await Promise.race([connecting, promise]);
    } catch (thrown) {
      connecting.then(closeQuietly, () => {});
      throw thrown;
    } finally {
      cancel();
    }
  }
}

function closeQuietly(connection: Pick<TaskConnection, "close">): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}

// deno-lint-ignore require-yield -- it only fails
async function* failing(error: CoveyError): AsyncGenerator<Uint8Array, void> {
  throw await Promise.resolve(error);
}

async function drained(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}
