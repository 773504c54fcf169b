/** The identity of a node whose tasks run already: opened before the first dial, and again before each until that succeeds. */
import { CoveyError } from "../api/errors.ts";
import type { NodeIdentity } from "../security/node_identity.ts";
import type { IdentityKeeper, ToldOfRoots } from "./identity.ts";

/** Says the node's ID before there is an identity. */
export class LateIdentity implements IdentityKeeper {
  readonly nodeID: string;
  /** Those on the disk, whatever is wrong with the certificate. */
  readonly keys: () => Promise<string[]>;
  readonly #open: () => Promise<IdentityKeeper>;
  onChanged = () => {};
  #keeper: IdentityKeeper | undefined;

  constructor(nodeID: string, keys: () => Promise<string[]>, open: () => Promise<IdentityKeeper>) {
    this.nodeID = nodeID;
    this.keys = keys;
    this.#open = open;
  }

  /** Throws `failed_precondition` before {@linkcode refresh} has succeeded. */
  get current(): NodeIdentity {
    if (this.#keeper) return this.#keeper.current;
    throw new CoveyError("failed_precondition", "Cannot name the node's certificate: it is not read yet");
  }

  /** Throws why there is no identity. */
  async refresh(): Promise<void> {
    if (this.#keeper) return await this.#keeper.refresh();
    this.#keeper = await this.#open();
    this.#keeper.onChanged = () => this.onChanged();
  }

  heard(message: ToldOfRoots): void {
    this.#keeper?.heard(message);
  }

  refused(): void {
    this.#keeper?.refused();
  }

  stop(): void {
    this.#keeper?.stop();
  }
}
