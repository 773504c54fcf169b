/** A router that asks the store at each call whether the caller still is what its certificate says. */
import type { CoveyError } from "../../api/errors.ts";
import type {
  Access,
  ClientStreamHandler,
  Method,
  MethodKind,
  MethodSummary,
  PeerIdentity,
  Router,
} from "../../transport/mod.ts";
import { type Judge, judgeCall } from "./standing.ts";

/** What a {@linkcode JudgingRouter} works with. */
export interface JudgingRouterOptions {
  /** The methods, with the access that certificates give. */
  router: Router;
  judge: Judge;
  /** What a member hears that may only be told that it is out; fails with `refusal` if it is not. */
  farewell: (refusal: CoveyError) => ClientStreamHandler;
}

/** Resolves a call only for a caller whose standing in the cluster allows it at this moment. */
export class JudgingRouter implements Router {
  readonly #options: JudgingRouterOptions;
  readonly #access = new Map<string, Access>();

  constructor(options: JudgingRouterOptions) {
    this.#options = options;
  }

  register(name: string, method: Method): void {
    this.#options.router.register(name, method);
    this.#access.set(name, method.access);
  }

  methods(): MethodSummary[] {
    return this.#options.router.methods();
  }

  resolve(
    name: string,
    kind: MethodKind,
    peer: PeerIdentity | undefined,
    forwardedFor?: PeerIdentity,
  ): Method {
    const { router, judge, farewell } = this.#options;
    // What is not registered, the router names.
    const access = this.#access.get(name) ?? "anyone";
    const verdict = judgeCall(peer, { name, access, asManager: forwardedFor !== undefined }, judge);
    if (verdict.may === "be_told" && kind === "client_stream") {
      return { kind, access, handler: farewell(verdict.refusal) };
    }
    if (verdict.may !== "call") throw verdict.refusal;
    const method = router.resolve(name, kind, peer, forwardedFor);
    // Whoever a manager speaks for is judged by the leader, whose store is complete; others only say that they do not lead.
    if (forwardedFor !== undefined && judge.leads()) {
      const forwarded = judgeCall(forwardedFor, { name, access }, judge);
      if (forwarded.may !== "call") throw forwarded.refusal;
    }
    return method;
  }
}
