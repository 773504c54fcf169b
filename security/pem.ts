/**
 * PEM text around DER (RFC 7468). Ours because the general library decodes base64 with wrong padding to wrong bytes
 * (decision 0030).
 */
import { CoveyError } from "../api/errors.ts";

/** Labels that the project reads or writes. */
export type PEMLabel = "CERTIFICATE" | "CERTIFICATE REQUEST" | "PRIVATE KEY" | "COVEY SEALED KEY";

const LINE_LENGTH = 64;

/** DER as PEM text that ends in a newline. */
export function encodePEM(label: PEMLabel, der: Uint8Array): string {
  const base64 = der.toBase64();
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += LINE_LENGTH) lines.push(base64.slice(at, at + LINE_LENGTH));
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The DER of every block with `label` in `text`, in order; text between blocks is ignored. */
export function decodePEM(label: PEMLabel, text: string): Uint8Array<ArrayBuffer>[] {
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const stop = text.indexOf(end, at);
    if (stop < 0) {
      throw new CoveyError("invalid_argument", `Cannot read PEM: a ${label} block has no end line`);
    }
    try {
      blocks.push(Uint8Array.fromBase64(text.slice(at + begin.length, stop)));
    } catch (cause) {
      throw new CoveyError("invalid_argument", `Cannot read PEM: a ${label} block is not base64`, { cause });
    }
    at = stop + end.length;
  }
  return blocks;
}

/** The DER of the one block with `label` that `text` must hold. */
export function decodeSinglePEM(label: PEMLabel, text: string): Uint8Array<ArrayBuffer> {
  const blocks = decodePEM(label, text);
  if (blocks.length !== 1) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot read PEM: ${blocks.length} ${label} blocks where one belongs`,
    );
  }
  return blocks[0]!;
}
