/** What is wrong with compose files, gathered so that all of it is told at once. */
import { CoveyError } from "../../api/errors.ts";
import type { Place } from "./tree.ts";

/** Problems that are told before the rest is a number: a screen of them. */
const MAX_TOLD = 30;

/** The problems of one reading. */
export class Problems {
  readonly #found: string[] = [];
  readonly #unsupported: string[] = [];

  /** Whether keys that are known to have no meaning in a swarm are told of, not refused. */
  constructor(readonly ignoreUnsupported = false) {}

  /** `path` is where in the document, as `services.web.ports`. */
  add({ file, line }: Place, path: string, what: string): void {
    this.#found.push(`${file}:${line}: ${path === "" ? "" : `${path}: `}${what}`);
  }

  /** A key that compose knows and a swarm has no use for. */
  unsupported({ file, line }: Place, path: string, what: string): void {
    this.#unsupported.push(`${file}:${line}: ${path}: ${what}`);
  }

  /** What was left out, where that was asked for. */
  get ignored(): readonly string[] {
    return this.ignoreUnsupported ? this.#unsupported : [];
  }

  /** Throws `invalid_argument` with all problems, a line each. */
  check(): void {
    const refused = this.ignoreUnsupported ? [] : this.#unsupported;
    const all = [...this.#found, ...refused];
    if (all.length === 0) return;
    const more = all.length > MAX_TOLD ? `\n  and ${all.length - MAX_TOLD} more` : "";
    const hint = refused.length > 0
      ? "\n  (--ignore-unsupported leaves out what a swarm has no use for)"
      : "";
    const told = all.slice(0, MAX_TOLD).map((each) => `\n  ${each}`).join("");
    throw new CoveyError("invalid_argument", `Cannot read the compose file:${told}${more}${hint}`);
  }
}
