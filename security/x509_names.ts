/** Object identifiers and fragments shared by certificates and requests. */
import type { ASN1Value, DER } from "./der.ts";

/** Common name of every root, and a DNS name of every manager (SwarmKit). */
export const ROOT_CA_NAME = "swarm-ca";

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

/** DER AlgorithmIdentifier of `ecdsaWithSHA256`, with which all sign but such roots. */
export const ECDSA_WITH_SHA256 = Uint8Array.fromHex("300a06082a8648ce3d040302");

/** DER AlgorithmIdentifier of `sha256WithRSAEncryption`, of a root that somebody else has made. */
export const RSA_WITH_SHA256 = Uint8Array.fromHex("300d06092a864886f70d01010b0500");

/** The subject of a certificate or request. */
export interface Subject {
  /** Common name: a node ID, or `swarm-ca`. */
  CN?: string;
  /** Organization: the cluster ID. */
  O?: string;
  /** Organizational unit: the role. */
  OU?: string;
}

/** A subject as an X.501 name, most general part first. */
export function nameOf(der: DER, subject: Subject): ASN1Value {
  const attributes: [string, string | undefined][] = [
    [OID.organization, subject.O],
    [OID.organizationalUnit, subject.OU],
    [OID.commonName, subject.CN],
  ];
  const parts = attributes.flatMap(([oid, value]) =>
    value === undefined ? [] : [der.set(der.sequence(der.oid(oid), der.utf8String(value)))]
  );
  return der.sequence(...parts);
}
