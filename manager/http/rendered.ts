/** Objects of the store as JSON: rendered once, for as long as nobody changes them. */

/** Makes what clients see of an object, and of nothing else. */
export type View<T extends object> = (object: T) => unknown;

/**
 * Characters of one generation of texts. Two are kept: together the objects of a fleet of some 10,000 tasks, and at most
 * 16 MiB unless texts are beyond Latin-1, which takes twice as much.
 */
const MAX_GENERATION_CHARACTERS = 8 * 1024 * 1024;

/** The texts of objects by the view that made them. */
type Generation = Map<unknown, WeakMap<object, string>>;

/**
 * What objects are shown as. The store's objects never change, so a text is right for as long as its object is there; one
 * that nobody has asked for during a whole generation is forgotten.
 */
export class RenderedObjects {
  readonly #most: number;
  #young: Generation = new Map();
  #old: Generation = new Map();
  #characters = 0;

  constructor(most: number = MAX_GENERATION_CHARACTERS) {
    this.#most = most;
  }

  /** The JSON of `view(object)`. A view is always the same function: it is what its texts are found by. */
  text<T extends object>(object: T, view: View<T>): string {
    const young = this.#young.get(view)?.get(object);
    if (young !== undefined) return young;
    const text = this.#old.get(view)?.get(object) ?? jsonOf(view(object));
    this.#keep(object, view, text);
    return text;
  }

  #keep(object: object, view: unknown, text: string): void {
    if (this.#characters + text.length > this.#most) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#characters = 0;
    }
    const texts = this.#young.get(view) ?? new WeakMap();
    this.#young.set(view, texts.set(object, text));
    this.#characters += text.length;
  }
}

const HTML = /[<>&\u2028\u2029]/g;

/** JSON as Go's encoder escapes it, because clients print it as it comes. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value).replace(
    HTML,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** An object's JSON, with more fields at its end. */
export function withMore(json: string, more: Record<string, unknown>): string {
  const fields = jsonOf(more).slice(1);
  return fields === "}" ? json : `${json.slice(0, -1)},${fields}`;
}
