/**
 * Holds the control socket of a manager that was started to wait for its cluster. The manager itself is a child process with
 * the addresses of its flags allowed; when it is asked for others it is started again with those, and then asked.
 */
import { getLogger } from "@logtape/logtape";
import { isIP } from "node:net";
import { RESTORE_PATH } from "../../api/backup.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { parseInitRequest, parseJoinRequest } from "../../api/validate/mod.ts";
import { isStreamPath, isUploadPath, pathOf, withoutVersion } from "../http/mod.ts";
import { hostOf, type NetworkInterface, portOf, requestedAddresses } from "./addresses.ts";
import { killIfThere } from "./agent_process.ts";
import { DEFAULT_LISTEN, type ManagerOptions, withPort } from "./options.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

/** Longest wait for a started manager to answer: a first start also reads every module from a slow SD card. */
const START_LIMIT_MS = 60_000;
const POLL_MS = 25;
/** Time for an orderly end, which includes the agent's, before the manager is killed. */
const STOP_GRACE_MS = 10_000;

/** Characters of a path and query: URLs of Deno's client have 64 KiB at most, and a character may take six there. */
const MAX_RELAYED_TARGET = 10_000;

const logger = getLogger(["covey", "manager"]);

/** What the front is made of. */
export interface IdleFrontOptions {
  options: ManagerOptions;
  /** The flags that the manager is started with, besides those of its being a child. */
  args: readonly string[];
  launcher: string;
  env: Record<string, string>;
  clock: Clock;
  interfaces: () => NetworkInterface[];
}

/** The manager behind the front. */
interface Inner {
  child: Deno.ChildProcess;
  /** Ends the manager by being closed. */
  input: WritableStreamDefaultWriter<Uint8Array>;
  /** It shall not end, so that an end is the front's too. */
  wanted: boolean;
}

/** See the file's comment. */
export class IdleFront {
  /** Resolves when the manager has ended by itself. */
  readonly ended: Promise<void>;
  readonly #context: IdleFrontOptions;
  readonly #socket: string;
  readonly #http: Deno.HttpClient;
  readonly #end = Promise.withResolvers<void>();
  #inner: Inner | undefined;
  #code = 0;
  /** What was asked for beyond the flags, as {@linkcode placeOf} says it. */
  #allowed: ReadonlySet<string> = new Set();
  /** Resolves when the manager last started can be asked. */
  #ready: Promise<void> = Promise.resolve();

  constructor(context: IdleFrontOptions) {
    this.#context = context;
    this.ended = this.#end.promise;
    this.#socket = `${context.options.stateDir}/inner.sock`;
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path: this.#socket } });
  }

  /** Starts the manager with `addresses` allowed beyond those of its flags, and waits until it can be asked. */
  async start(addresses: readonly string[] = []): Promise<void> {
    const { launcher, args, env, clock } = this.#context;
    const own = ["--api", this.#socket, "--exit-with-parent"];
    if (addresses.length > 0) own.push("--allow", addresses.join());
    const child = new Deno.Command(launcher, {
      args: [...args, ...own],
      env,
      stdin: "piped",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const inner = this.#inner = { child, input: child.stdin.getWriter(), wanted: true };
    child.status.then(({ code }) => {
      if (!inner.wanted) return;
      this.#code = code;
      this.#end.resolve();
    });
    const limit = clock.monotonic() + START_LIMIT_MS;
    while (!await this.#answers()) {
      // Why it ended it has said itself.
      if (await Promise.race([this.ended.then(() => true), sleep(clock, POLL_MS).then(() => false)])) return;
      if (clock.monotonic() > limit) {
        throw new CoveyError("deadline_exceeded", "Cannot start the manager: it does not answer");
      }
    }
  }

  async #answers(): Promise<boolean> {
    try {
      (await Deno.connect({ transport: "unix", path: this.#socket })).close();
      return true;
    } catch {
      return false;
    }
  }

  /** Ends the manager; resolves with its exit status. */
  async stop(): Promise<number> {
    await this.#stopInner();
    this.#http.close();
    return this.#code;
  }

  async #stopInner(): Promise<void> {
    const inner = this.#inner;
    if (inner === undefined) return;
    inner.wanted = false;
    this.#inner = undefined;
    await inner.input.close().catch(() => {});
    const cancel = this.#context.clock.setTimer(STOP_GRACE_MS, () => killIfThere(inner.child));
    const { code } = await inner.child.status;
    cancel();
    if (this.#code === 0) this.#code = code;
  }

  /** The manager, for a stream, or a request that is longer than what a client here can ask; undefined for all others. */
  passOn(target: string): { socket: string; name: string; target(as: string): Promise<string> } | undefined {
    if (target.length <= MAX_RELAYED_TARGET && !isStreamPath(target)) return undefined;
    const whenReady = async (as: string) => {
      await this.#ready;
      return as;
    };
    return { socket: this.#socket, name: "the manager", target: whenReady };
  }

  /** Hands a request on, after the manager was started again where the request needs it. */
  async fetch(request: Request): Promise<Response> {
    const isUpload = isUploadPath(pathOf(request.url)), hasBody = !["GET", "HEAD"].includes(request.method);
    const body = isUpload ? request.body : hasBody ? await request.text() : null;
    await this.#ready;
    const named = new Set(this.#askedAddresses(request, typeof body === "string" ? body : ""));
    const asked = [...named].filter((address) => !this.#isAllowed(address));
    if (asked.length > 0 && await this.#isInactive()) {
      logger.info("Starts again to be allowed {addresses}", { addresses: asked.join(", ") });
      await (this.#ready = this.#startAgain(asked));
    }
    return await this.#relay(request, body);
  }

  async #startAgain(addresses: readonly string[]): Promise<void> {
    await this.#stopInner();
    await this.start(addresses);
    this.#allowed = new Set(addresses.map(placeOf));
  }

  async #relay({ url, method, headers }: Request, body: BodyInit | null): Promise<Response> {
    try {
      const response = await fetch(url.replace(/^\w+:\/\/[^/]*/, SOCKET_ORIGIN), {
        client: this.#http,
        method,
        headers,
        body,
      });
      const own = new Headers(response.headers);
      own.delete("connection");
      return new Response(response.body, { status: response.status, headers: own });
    } catch (cause) {
      throw new CoveyError("unavailable", "Cannot answer: the manager is ending", { cause });
    }
  }

  async #isInactive(): Promise<boolean> {
    const response = await fetch(`${SOCKET_ORIGIN}/info`, { client: this.#http });
    const { Swarm } = await response.json();
    return Swarm?.LocalNodeState === "inactive";
  }

  #isAllowed(address: string): boolean {
    const { listen = DEFAULT_LISTEN, advertise } = this.#context.options;
    const flags = [DEFAULT_LISTEN, listen, ...(advertise === undefined ? [] : [advertise])];
    const place = placeOf(address);
    return flags.some((flag) => placeOf(flag) === place) || this.#allowed.has(place);
  }

  /** HOST:PORT of all that a request to begin or join a cluster needs to listen on or to reach; none of any other. */
  #askedAddresses(request: Request, body: string): string[] {
    const { options, interfaces } = this.#context;
    const own = (named: { ListenAddr?: string; AdvertiseAddr?: string }) =>
      Object.values(requestedAddresses(named, options, interfaces()));
    if (request.method !== "POST") return [];
    try {
      switch (withoutVersion(pathOf(request.url))) {
        case "/swarm/init":
          return own(parseInitRequest(JSON.parse(body)));
        case "/swarm/join": {
          const joining = parseJoinRequest(JSON.parse(body));
          return [...own(joining), ...joining.RemoteAddrs.map((address) => withPort(address))];
        }
        case RESTORE_PATH:
          return own(Object.fromEntries(new URL(request.url).searchParams));
        default:
          return [];
      }
    } catch {
      // What is wrong with it the manager says.
      return [];
    }
  }
}

/** What the sandbox tells apart: the port on any IPv4 host, an IPv6 address in full. Names are looked up outside of it. */
function placeOf(address: string): string {
  return isIP(hostOf(address)) === 6 ? address : String(portOf(address));
}
