/** A leader that refuses single proposals although it goes on leading, or commits them and loses the answer. */
import { CoveyError } from "../../../api/errors.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { World } from "./world.ts";

/** Decides about each proposal whether it is refused, or its answer lost. */
export class Refusals {
  /** Share of proposals of which nothing is written, and of those that are committed and fail all the same. */
  refused = 0;
  lost = 0;
  readonly #random: SeededRandom;

  constructor(readonly world: World) {
    this.#random = world.fork();
  }

  end(): void {
    this.refused = 0;
    this.lost = 0;
  }

  /** `commit` as the proposer of an entry sees it. */
  async propose(commit: () => Promise<number>): Promise<number> {
    if (this.refused > 0 && this.#random.chance(this.refused)) {
      this.world.log.note("a proposal is refused");
      throw new CoveyError("unavailable", "Cannot propose: refused proposal");
    }
    const lost = this.lost > 0 && this.#random.chance(this.lost);
    const index = await commit();
    if (!lost) return index;
    this.world.log.note(`the answer to the proposal of ${index} is lost`);
    throw new CoveyError("unknown", "Cannot tell the outcome: the answer to the proposal was lost");
  }
}
