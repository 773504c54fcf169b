/**
 * Answers the containers' questions for names: what is in their networks by itself, the rest by asking those whom the host asks.
 * The networks' addresses for it lead here (see helper/network_server.sh).
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:dgram";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { isIP, type Server } from "node:net";
import { getLogger } from "../api/log.ts";
import type { Random } from "../api/random.ts";
import {
  type Answer,
  CODE,
  encodeAnswer,
  parseQuestion,
  type Question,
  reverseAddress,
  TYPE,
} from "./dns_message.ts";
import type { Askers, TasksHere } from "./askers.ts";
import { findAddress, findName, type Found, networksOf } from "./names.ts";
import { askOverTCP, listenForQuestions } from "./tcp_questions.ts";
import type { NodeNetworks } from "./node_networks.ts";

const log = getLogger(["covey", "network"]);

/** Where the helper sends what is asked; the same on every host. */
const RESOLVER_ADDRESS = "169.254.77.1", RESOLVER_PORT = 7753;
/** Bytes of an answer over TCP, whose length has two bytes. */
const MAX_TCP_BYTES = 65_535;
/** How long one of the host's resolvers has before the next is asked. */
const FORWARD_LIMIT_MS = 2000;
/** Resolvers of the host that are asked at most, as the C library does. */
const MAX_SERVERS = 3;
/** Questions under way to the host's resolvers: what is above is refused, so that a flood costs others nothing. */
const MAX_FORWARDED = 256;

/** What the resolver works with. */
export interface ResolverOptions {
  nodeID: string;
  told: NodeNetworks;
  tasks: TasksHere;
  askers: Askers;
  clock: Clock;
  random: Random;
  /** Text of the host's /etc/resolv.conf. */
  hostConfig: () => Promise<string>;
  address?: string;
  port?: number;
  /** Where the host's resolvers listen. */
  serverPort?: number;
  /** Ask them over TCP: for an agent whose sandbox has no port for answers to come back to. */
  byTCP?: boolean;
}

/** The module is loaded with the first socket: in an agent that is one file, an import at its top is loaded at the start. */
async function newSocket(): Promise<Socket> {
  return (await import("node:dgram")).createSocket("udp4");
}

/** One socket for all networks of the node. */
export class Resolver {
  readonly #options: ResolverOptions;
  #socket: Socket | undefined;
  #server: Server | undefined;
  #forwarded = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Listens; resolves with the port. */
  async open(): Promise<number> {
    const { address = RESOLVER_ADDRESS, port = RESOLVER_PORT } = this.#options;
    const socket = await newSocket();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("error", reject);
    socket.bind(port, address, resolve);
    await promise;
    socket.off("error", reject);
    socket.on(
      "error",
      ({ message }) => log.warn("Cannot answer a question for a name: {message}", { message }),
    );
    socket.on("message", async (bytes, from) => {
      const answer = await this.#take(new Uint8Array(bytes), from.address);
      if (answer !== undefined && this.#socket === socket) {
        socket.send(Buffer.from(answer), from.port, from.address);
      }
    });
    this.#socket = socket;
    const bound = socket.address().port;
    const take = (bytes: Uint8Array, from: string) => this.#take(bytes, from, MAX_TCP_BYTES);
    this.#server = await listenForQuestions(address, bound, take);
    return bound;
  }

  /** Answers nothing more. */
  close(): void {
    this.#socket?.close();
    this.#server?.close();
    this.#socket = this.#server = undefined;
  }

  /** Never rejects; undefined for what is no question. */
  async #take(bytes: Uint8Array, from: string, limit?: number): Promise<Uint8Array | undefined> {
    const asked = parseQuestion(bytes);
    if (asked === undefined) return undefined;
    const question = limit === undefined ? asked : { ...asked, maxBytes: limit };
    return await this.#answer(bytes, question, from).catch((thrown) => {
      const { message } = CoveyError.from(thrown);
      log.debug("a question for {name} failed: {message}", { name: question.name, message });
      return encodeAnswer(bytes, question, CODE.failure);
    });
  }

  async #answer(bytes: Uint8Array, question: Question, from: string): Promise<Uint8Array> {
    const { told, tasks, askers } = this.#options;
    const networks = networksOf(told, tasks, askers.at(from) ?? "");
    if (networks.length === 0) return encodeAnswer(bytes, question, CODE.refused);
    const address = question.type === TYPE.PTR ? reverseAddress(question.name) : undefined;
    const found = address === undefined
      ? findName(told, networks, question.name, this.#options.nodeID)
      : findAddress(told, networks, address);
    if (found !== undefined) {
      return encodeAnswer(bytes, question, CODE.ok, this.#records(question.type, found));
    }
    // Who has no way out shall not have one by names either.
    if (networks.every(({ Internal }) => Internal)) return encodeAnswer(bytes, question, CODE.noSuchName);
    return await this.#forward(bytes, question);
  }

  /** In another order each time, for those who take the first. */
  #records(type: number, found: NonNullable<Found>): Answer[] {
    if ("names" in found) return found.names.map((name) => ({ type: TYPE.PTR, name }));
    if (type !== TYPE.A && type !== TYPE.ANY) return [];
    const { addresses } = found, first = Math.floor(this.#options.random.float() * addresses.length);
    return [...addresses.slice(first), ...addresses.slice(0, first)]
      .map((address) => ({ type: TYPE.A, address }));
  }

  async #forward(bytes: Uint8Array, question: Question): Promise<Uint8Array> {
    if (this.#forwarded >= MAX_FORWARDED) return encodeAnswer(bytes, question, CODE.refused);
    this.#forwarded++;
    try {
      for (const server of serversOf(await this.#options.hostConfig())) {
        const answer = await (this.#options.byTCP ? this.#askByTCP : this.#askServer).call(
          this,
          server,
          bytes,
        );
        if (answer !== undefined) return answer;
      }
      return encodeAnswer(bytes, question, CODE.failure);
    } finally {
      this.#forwarded--;
    }
  }

  async #askByTCP(server: string, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const { clock, serverPort = 53 } = this.#options, late = new AbortController();
    const cancel = clock.setTimer(FORWARD_LIMIT_MS, () => late.abort());
    return await askOverTCP(server, serverPort, bytes, late.signal).finally(cancel);
  }

  /** Undefined without an answer in time. */
  async #askServer(server: string, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const { clock, random, serverPort = 53 } = this.#options;
    const socket = await newSocket();
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    const cancel = clock.setTimer(FORWARD_LIMIT_MS, () => resolve(undefined));
    // A number of our own: who asked shall not choose what an answer is known by.
    const asked = bytes.slice(), number = Math.floor(random.float() * 65536);
    asked[0] = number >> 8;
    asked[1] = number & 255;
    socket.on("error", () => resolve(undefined));
    socket.on("message", (answer, from) => {
      if (from.address !== server || answer[0] !== asked[0] || answer[1] !== asked[1]) return;
      const given = new Uint8Array(answer);
      given[0] = bytes[0]!;
      given[1] = bytes[1]!;
      resolve(given);
    });
    try {
      const sent = (error: Error | null) => error !== null && resolve(undefined);
      socket.bind(0, () => socket.send(Buffer.from(asked), serverPort, server, sent));
      return await promise;
    } finally {
      cancel();
      socket.close();
    }
  }
}

/** The host's resolvers, by their IPv4 addresses. */
function serversOf(config: string): string[] {
  const found = config.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return found.filter((address) => isIP(address) === 4).slice(0, MAX_SERVERS);
}
