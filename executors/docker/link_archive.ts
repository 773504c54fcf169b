/** An archive (ustar) of symbolic links, by which an engine is told to make them in a container. */

/** Bytes of a header, and of what everything is a multiple of. */
const BLOCK = 512;
/** Bytes of a name and of a prefix that goes before it. */
const MAX_NAME = 100;
const MAX_PREFIX = 155;
const encoder = new TextEncoder();

/** A link and where it leads. */
export interface Link {
  /** Absolute. */
  at: string;
  to: string;
}

/** The archive of `links`; undefined if a place is too long for one. */
export function linkArchive(links: readonly Link[]): Uint8Array<ArrayBuffer> | undefined {
  // Two empty blocks say that it ends.
  const archive = new Uint8Array(BLOCK * (links.length + 2));
  for (const [index, { at, to }] of links.entries()) {
    const place = split(at.replace(/^\/+/, ""));
    if (place === undefined || encoder.encode(to).length > MAX_NAME) return undefined;
    archive.set(header(place, to), index * BLOCK);
  }
  return archive;
}

/** The name and what goes before it. */
function split(path: string): [name: string, prefix: string] | undefined {
  const length = (text: string) => encoder.encode(text).length;
  if (length(path) <= MAX_NAME) return [path, ""];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    const prefix = path.slice(0, at), name = path.slice(at + 1);
    if (length(name) <= MAX_NAME && length(prefix) <= MAX_PREFIX) return [name, prefix];
  }
}

function header([name, prefix]: [string, string], to: string): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number) => block.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  put(name, 0);
  put(octal(0o777, 7), 100);
  for (const [at, digits] of [[108, 7], [116, 7], [124, 11], [136, 11]] as const) put(octal(0, digits), at);
  put(" ".repeat(8), 148);
  put("2", 156);
  put(to, 157);
  put("ustar\0" + "00", 257);
  put(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)}\0 `, 148);
  return block;
}
