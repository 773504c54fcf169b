/** How far a pull is, from what the engine says of its layers. Pure. */
import type { PullProgress } from "./engine_types.ts";

/** Layers of one image: the engine takes 128 at most. */
const MAX_LAYERS = 256;
const DONE = ["Download complete", "Pull complete", "Already exists"];

/** Adds up one pull, over all its tries. */
export class PullMeter {
  readonly #layers = new Map<string, { bytes: number; total: number; done: boolean }>();
  #gain = false;

  /** Takes in one line. */
  take({ status = "", id, progressDetail }: PullProgress): void {
    if (id === undefined) return;
    const layer = this.#layers.get(id) ?? { bytes: 0, total: 0, done: false };
    if (!this.#layers.has(id) && this.#layers.size >= MAX_LAYERS) return;
    this.#layers.set(id, layer);
    const { current = 0, total = 0 } = status === "Downloading" ? progressDetail ?? {} : {};
    const done = layer.done || DONE.includes(status);
    if (current > layer.bytes || done !== layer.done) this.#gain = true;
    layer.bytes = Math.max(layer.bytes, current);
    layer.total = Math.max(layer.total, total);
    layer.done = done;
  }

  /** True if a layer got further than ever since this was last asked. */
  takeGain(): boolean {
    const gain = this.#gain;
    this.#gain = false;
    return gain;
  }

  /** As `pulling: 2 of 5 layers, 31 of 80 MB`; undefined before the first layer. */
  words(): string | undefined {
    const layers = [...this.#layers.values()];
    const coming = layers.filter(({ total }) => total > 0);
    if (layers.length === 0) return undefined;
    const done = layers.filter((layer) => layer.done).length,
      sum = (part: "bytes" | "total") =>
        Math.round(
          coming.reduce((bytes, layer) => bytes + (layer.done ? layer.total : layer[part]), 0) / 1e6,
        );
    const size = coming.length > 0 ? `, ${sum("bytes")} of ${sum("total")} MB` : "";
    return `pulling: ${done} of ${layers.length} layers${size}`;
  }
}
