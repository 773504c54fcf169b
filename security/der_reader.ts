/** Reads untrusted DER strictly (X.690): definite, minimal lengths, nothing past the end. */
import { CoveyError } from "../api/errors.ts";

/** One element of DER. */
export interface DERElement {
  tag: number;
  /** The contents, without tag and length. */
  body: Uint8Array<ArrayBuffer>;
  /** Tag, length and contents as they stand: what a signature covers. */
  raw: Uint8Array<ArrayBuffer>;
}

/** Elements inside one container; certificates need far fewer, a bomb of empty elements far more. */
const MAX_ELEMENTS = 256;

function malformed(what: string): never {
  throw new CoveyError("invalid_argument", `Cannot read DER: ${what}`);
}

function readLength(bytes: Uint8Array, at: number): { length: number; next: number } {
  const first = bytes[at];
  if (first === undefined) malformed("it ends inside a length");
  if (first < 0x80) return { length: first, next: at + 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 3) malformed(`a length takes ${count} bytes, 1 to 3 are allowed`);
  if (at + count >= bytes.length) malformed("it ends inside a length");
  let length = 0;
  for (let i = 1; i <= count; i++) length = length * 256 + bytes[at + i]!;
  if (length < 0x80 || bytes[at + 1] === 0) malformed("a length is not minimal");
  return { length, next: at + 1 + count };
}

/** All elements of `bytes`, one after the other. */
export function readElements(bytes: Uint8Array<ArrayBuffer>): DERElement[] {
  const elements: DERElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (elements.length === MAX_ELEMENTS) malformed(`more than ${MAX_ELEMENTS} elements in one container`);
    const tag = bytes[at]!;
    if ((tag & 0x1f) === 0x1f) malformed("multi-byte tags are not used in certificates");
    const { length, next } = readLength(bytes, at + 1);
    const end = next + length;
    if (end > bytes.length) malformed(`an element of ${length} bytes ends after ${bytes.length - next}`);
    elements.push({ tag, body: bytes.subarray(next, end), raw: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** The single element that `bytes` is, which must have `tag`. */
export function readElement(bytes: Uint8Array<ArrayBuffer>, tag: number): DERElement {
  const elements = readElements(bytes);
  if (elements.length !== 1) malformed(`${elements.length} elements where one belongs`);
  return expectTag(elements[0], tag);
}

/** `element` if it is there and has `tag`. */
export function expectTag(element: DERElement | undefined, tag: number): DERElement {
  if (!element) malformed(`no element where one with tag ${tag} belongs`);
  if (element.tag !== tag) malformed(`tag ${element.tag} where ${tag} belongs`);
  return element;
}
