/** The head of an HTTP/1.1 request (RFC 9112), read just far enough to know where the request goes and how long it is. */
import { CoveyError } from "../../../api/errors.ts";
import type { SocketReader } from "./socket_reader.ts";

/** Bytes of the longest head: dockerode sends a whole spec, percent-encoded, in the query as well. */
const MAX_HEAD_BYTES = 256 * 1024;

/** A request's head. */
export interface RequestHead {
  method: string;
  /** Path and query. */
  target: string;
  headers: readonly (readonly [name: string, value: string])[];
  /** Body length; undefined if the body is chunked. */
  length: number | undefined;
  /** False if the client wants the connection closed after the response. */
  keepAlive: boolean;
  /** True if the client waits for `100 Continue` before it sends the body. */
  expectsContinue: boolean;
}

const decoder = new TextDecoder();
/** Clients that take the socket for a proxy send the absolute form, of which only the path matters. */
const REQUEST_LINE = /^([A-Z]{1,16}) (?:http:\/\/[^/ ]*)?(\/[^ ]*) HTTP\/1\.([01])$/;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Reads the next head; undefined if the client closed instead. Throws `invalid_argument` for what is no HTTP/1.1 request. */
export async function readHead(
  reader: SocketReader,
): Promise<RequestHead | undefined> {
  for (let scanned = 0;;) {
    const bytes = reader.peek();
    const end = headEnd(bytes, Math.max(0, scanned - 3));
    if (end >= 0) {
      const raw = decoder.decode(bytes.subarray(0, end));
      reader.skip(end + 4);
      return parseHead(raw);
    }
    if (bytes.length > MAX_HEAD_BYTES) throw malformed(`its head exceeds ${MAX_HEAD_BYTES} bytes`);
    scanned = bytes.length;
    if (!await reader.fill()) {
      if (scanned === 0) return undefined;
      throw malformed("it ends inside its head");
    }
  }
}

/** Index of the empty line, or -1. */
function headEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(13, from); at >= 0; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}

function malformed(what: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read the request: ${what}`);
}

/** What follows the first line. */
interface HeaderBlock extends Pick<RequestHead, "headers" | "length" | "expectsContinue"> {
  closes: boolean;
}

/** The block read last. What one client sends, and most clients of a kind, differs in the first line only. */
let lastBlock: { raw: string; block: HeaderBlock } | undefined;
/** Characters of a block that is kept: nearly all have fewer. */
const MAX_KEPT_CHARACTERS = 1024;

/** Parses a head without its final empty line. */
function parseHead(raw: string): RequestHead {
  const cut = raw.indexOf("\r\n");
  const line = cut < 0 ? raw : raw.slice(0, cut), rest = cut < 0 ? "" : raw.slice(cut + 2);
  const request = REQUEST_LINE.exec(line);
  if (request === null) throw malformed("its first line is not HTTP/1.1");
  const { headers, length, expectsContinue, closes } = blockOf(rest);
  return {
    method: request[1]!,
    target: request[2]!,
    headers,
    length,
    keepAlive: request[3] === "1" && !closes,
    expectsContinue,
  };
}

function blockOf(raw: string): HeaderBlock {
  if (lastBlock?.raw === raw) return lastBlock.block;
  const block = parseBlock(raw);
  if (raw.length <= MAX_KEPT_CHARACTERS) lastBlock = { raw, block };
  return block;
}

function parseBlock(raw: string): HeaderBlock {
  const headers: [string, string][] = [];
  const block: HeaderBlock = { headers, length: 0, expectsContinue: false, closes: false };
  let lengths = 0;
  for (const each of raw === "" ? [] : raw.split("\r\n")) {
    const colon = each.indexOf(":");
    const name = each.slice(0, Math.max(colon, 0));
    if (!HEADER_NAME.test(name)) throw malformed("a header has no valid name");
    const value = each.slice(colon + 1).trim();
    headers.push([name, value]);
    if (readFraming(block, name.toLowerCase(), value)) lengths++;
  }
  if (lengths > 1) throw malformed("its length is given twice");
  return block;
}

/** Takes in what a header says about the connection; true if it gave the body's length. */
function readFraming(block: HeaderBlock, name: string, value: string): boolean {
  switch (name) {
    case "content-length":
      if (!/^\d{1,15}$/.test(value)) throw malformed(`Content-Length is ${value}`);
      block.length = Number(value);
      return true;
    case "transfer-encoding":
      if (value.toLowerCase() !== "chunked") throw malformed(`Transfer-Encoding ${value} is not known`);
      block.length = undefined;
      return true;
    case "connection":
      if (value.toLowerCase() === "close") block.closes = true;
      return false;
    case "expect":
      block.expectsContinue = value.toLowerCase() === "100-continue";
      return false;
    default:
      return false;
  }
}
