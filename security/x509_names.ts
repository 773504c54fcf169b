/** Object identifiers and encoded fragments shared by certificates and requests. */
import { element, objectIdentifier, sequence, TAG, utf8String } from "./der_writer.ts";

/** Object identifiers in dotted form (RFC 5280, RFC 5758). */
export const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  organizationalUnit: "2.5.4.11",
  ecdsaWithSHA256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** The subject of a certificate or request. */
export interface Subject {
  /** Common name: a node ID, or `swarm-ca`. */
  CN?: string;
  /** Organization: the cluster ID. */
  O?: string;
  /** Organizational unit: the role. */
  OU?: string;
}

/** AlgorithmIdentifier of the only signature the project makes or takes. */
export const ECDSA_WITH_SHA256 = sequence(objectIdentifier(OID.ecdsaWithSHA256));

/** A subject as an X.501 name, most general part first. */
export function encodeName(subject: Subject): Uint8Array<ArrayBuffer> {
  const attributes: [string, string | undefined][] = [
    [OID.organization, subject.O],
    [OID.organizationalUnit, subject.OU],
    [OID.commonName, subject.CN],
  ];
  const parts = attributes.flatMap(([oid, value]) =>
    value === undefined ? [] : [element(TAG.set, sequence(objectIdentifier(oid), utf8String(value)))]
  );
  return sequence(...parts);
}
