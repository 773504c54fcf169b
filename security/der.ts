/**
 * DER (X.690) by node-forge's ASN.1 module: for building certificates and requests and for reading requests.
 * Certificates are read with `node:crypto`, so that only whoever issues one loads this (decision 0030).
 */
import { Buffer } from "node:buffer";
// @ts-types="@types/node-forge"
import type { asn1 } from "node-forge";
import { CoveyError } from "../api/errors.ts";

/** One ASN.1 value as node-forge represents it. */
export type ASN1Value = asn1.Asn1;

/** The module; the published types lack the options of `fromDer`. */
type ASN1Module = Omit<typeof asn1, "fromDer"> & {
  fromDer(
    bytes: string,
    options: { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean },
  ): ASN1Value;
};

/** First year that UTCTime cannot express (RFC 5280 4.1.2.5). */
const GENERALIZED_TIME_FROM = 2050;

/** Builds ASN.1 values, and converts them from and to DER. */
export class DER {
  readonly #asn1: ASN1Module;

  private constructor(module: ASN1Module) {
    this.#asn1 = module;
  }

  /** Loads the ASN.1 module; later calls find it loaded. */
  static async load(): Promise<DER> {
    const module = await import("node-forge/lib/asn1.js");
    return new DER(module.default);
  }

  /** DER of `value`. */
  encode(value: ASN1Value): Uint8Array<ArrayBuffer> {
    return fromBinary(this.#asn1.toDer(value).getBytes());
  }

  /** The one value that untrusted `bytes` spell in DER; `invalid_argument` if they do not. */
  decode(bytes: Uint8Array): ASN1Value {
    let value: ASN1Value;
    let canonical: Uint8Array;
    try {
      const options = { strict: true, parseAllBytes: true, decodeBitStrings: false };
      value = this.#asn1.fromDer(toBinary(bytes), options);
      canonical = this.encode(value);
    } catch (cause) {
      return malformed(cause instanceof Error ? cause.message : String(cause), cause);
    }
    // Even strict, the module takes lengths that are indefinite or longer than needed; DER has one spelling.
    if (Buffer.compare(canonical, bytes) !== 0) malformed("it is not the shortest spelling");
    return value;
  }

  /** The values in `sequence`, which must be a SEQUENCE. */
  elements(sequence: ASN1Value | undefined): ASN1Value[] {
    const { value } = this.#expect(sequence, this.#asn1.Type.SEQUENCE);
    return Array.isArray(value) ? value : malformed("a SEQUENCE has no elements");
  }

  /** The bytes of `bits`, which must be a BIT STRING of whole bytes. */
  bitStringBytes(bits: ASN1Value | undefined): Uint8Array<ArrayBuffer> {
    const { value } = this.#expect(bits, this.#asn1.Type.BITSTRING);
    if (typeof value !== "string" || value[0] !== "\0") malformed("a BIT STRING is not of whole bytes");
    return fromBinary(value.slice(1));
  }

  sequence(...elements: ASN1Value[]): ASN1Value {
    return this.#create(this.#asn1.Type.SEQUENCE, elements);
  }

  set(...elements: ASN1Value[]): ASN1Value {
    return this.#create(this.#asn1.Type.SET, elements);
  }

  /** BOOLEAN TRUE; FALSE is always a default, which DER leaves out. */
  true(): ASN1Value {
    return this.#create(this.#asn1.Type.BOOLEAN, "\xff");
  }

  integer(number: number): ASN1Value {
    return this.#create(this.#asn1.Type.INTEGER, this.#asn1.integerToDer(number).getBytes());
  }

  /** INTEGER from minimal two's complement bytes. */
  integerBytes(bytes: Uint8Array): ASN1Value {
    return this.#create(this.#asn1.Type.INTEGER, toBinary(bytes));
  }

  /** OBJECT IDENTIFIER from its dotted form. */
  oid(dotted: string): ASN1Value {
    return this.#create(this.#asn1.Type.OID, this.#asn1.oidToDer(dotted).getBytes());
  }

  octetString(bytes: Uint8Array): ASN1Value {
    return this.#create(this.#asn1.Type.OCTETSTRING, toBinary(bytes));
  }

  /** BIT STRING; `unusedBits` of the last byte do not count. */
  bitString(bytes: Uint8Array, unusedBits = 0): ASN1Value {
    return this.#create(this.#asn1.Type.BITSTRING, String.fromCharCode(unusedBits) + toBinary(bytes));
  }

  utf8String(text: string): ASN1Value {
    return this.#create(this.#asn1.Type.UTF8, toBinary(new TextEncoder().encode(text)));
  }

  /** Time of a certificate, whole seconds, from milliseconds since 1970. */
  time(ms: number): ASN1Value {
    const { Type, dateToUtcTime, dateToGeneralizedTime } = this.#asn1;
    const date = new Date(ms);
    return date.getUTCFullYear() < GENERALIZED_TIME_FROM
      ? this.#create(Type.UTCTIME, dateToUtcTime(date))
      : this.#create(Type.GENERALIZEDTIME, dateToGeneralizedTime(date));
  }

  /** Context-specific `[number]` around values, or IMPLICIT over bytes. */
  context(number: number, contents: ASN1Value[] | Uint8Array): ASN1Value {
    const { create, Class } = this.#asn1;
    return Array.isArray(contents)
      ? create(Class.CONTEXT_SPECIFIC, number, true, contents)
      : create(Class.CONTEXT_SPECIFIC, number, false, toBinary(contents));
  }

  #create(type: asn1.Type, contents: ASN1Value[] | string): ASN1Value {
    return this.#asn1.create(this.#asn1.Class.UNIVERSAL, type, Array.isArray(contents), contents);
  }

  #expect(value: ASN1Value | undefined, type: asn1.Type): ASN1Value {
    if (value?.tagClass === this.#asn1.Class.UNIVERSAL && value.type === type) return value;
    return malformed(`no element of type ${type} where one belongs`);
  }
}

/** node-forge keeps bytes as text of one character per byte. */
function toBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function fromBinary(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function malformed(what: string, cause?: unknown): never {
  throw new CoveyError("invalid_argument", `Cannot read DER: ${what}`, { cause });
}
