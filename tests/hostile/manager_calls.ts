/** Every call that only managers may make, as somebody would make it to take a cluster over. */
import { BACKUP_PATH } from "../../api/backup.ts";
import { CA_METHODS } from "../../api/ca.ts";
import { CoveyError } from "../../api/errors.ts";
import { RAFT_METHODS, type RaftHealth } from "../../api/raft.ts";
import { ADMINISTRATOR } from "../../manager/control/caller.ts";
import { CONTROL_METHOD } from "../../manager/forward/control_messages.ts";
import { createCertificateRequest, createPrivateKeyPEM, readCertificate } from "../../security/mod.ts";
import type { Connection, PeerIdentity, TLSMaterial } from "../../transport/mod.ts";
import { dialWith } from "../support/node_material.ts";

/** A member that nobody knows. */
const STRANGER = 4711;

/** Who is to be taken in. */
export interface Victim {
  /** HOST:PORT of a manager. */
  address: string;
  memberID: number;
  nodeID: string;
}

/** What a certificate names. */
export function identityOf({ certificatePEM }: TLSMaterial): PeerIdentity {
  const { subject } = readCertificate(
    certificatePEM.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n",
  );
  const role = subject.OU === "swarm-manager" ? "swarm-manager" : "swarm-worker";
  return { nodeID: subject.CN!, clusterID: subject.O!, role, certificatePEM };
}

/** Finds out what an attacker knows who once was a manager. */
export async function victimAt(address: string, manager: TLSMaterial): Promise<Victim> {
  const connection = await dialWith(address, manager);
  const { MemberID, NodeID } = await connection.call<RaftHealth>(RAFT_METHODS.health, {});
  connection.close();
  return { address, memberID: MemberID, nodeID: NodeID };
}

/** A request of the control API, made through a connection as a follower does. */
export function control(
  connection: Connection,
  Method: string,
  Path: string,
  body?: unknown,
): Promise<unknown[]> {
  const Body = body === undefined ? new Uint8Array() : new TextEncoder().encode(JSON.stringify(body));
  const Headers = [["content-type", "application/json"]];
  const request = { Method, Path, Headers, Body, Caller: ADMINISTRATOR };
  return Array.fromAsync(connection.serverStream(CONTROL_METHOD, request));
}

async function* items(...values: unknown[]): AsyncGenerator<unknown> {
  yield* values;
}

type Attempt = (connection: Connection, victim: Victim, own: PeerIdentity) => Promise<unknown>;

const hello = (to: number) => ({ From: STRANGER, To: to, Addr: "127.0.0.9:1" });

/** By name. */
export const ATTEMPTS: Record<string, Attempt> = {
  "read the join tokens": (connection) => control(connection, "GET", "/v1.41/swarm"),
  "create a service": (connection) =>
    control(connection, "POST", "/v1.41/services/create", {
      Name: "mine",
      TaskTemplate: { ContainerSpec: { Image: "busybox" } },
      Mode: { Replicated: { Replicas: 0 } },
    }),
  "fetch the backup with the CA's key": (connection) => control(connection, "GET", BACKUP_PATH),
  "be a member of the quorum": (connection, _, { nodeID }) =>
    connection.call(RAFT_METHODS.join, { NodeID: nodeID, MemberID: STRANGER, Addr: "127.0.0.9:1" }),
  "leave in its name": (connection, _, { nodeID }) => connection.call(RAFT_METHODS.leave, { NodeID: nodeID }),
  "be forgotten": (connection) => connection.call(RAFT_METHODS.withdraw, {}),
  "learn the member": (connection) => connection.call(RAFT_METHODS.health, {}),
  "depose the leader": (connection, { memberID: to }) => {
    const vote = {
      type: "vote",
      from: STRANGER,
      to,
      term: 1e9,
      lastIndex: 1e9,
      lastTerm: 1e9,
      transfer: true,
    };
    return connection.clientStream(RAFT_METHODS.messages, items(hello(to), { Messages: [vote] }));
  },
  "replace the state": (connection, { memberID: to }) => {
    const confState = { voters: [STRANGER], votersOutgoing: [], learners: [], learnersNext: [], removed: [] };
    const snapshot = { index: 1e9, term: 1e9, confState };
    const Message = { type: "snapshot", from: STRANGER, to, term: 1e9, snapshot };
    return connection.clientStream(
      RAFT_METHODS.snapshot,
      items(hello(to), { Message, Members: [] }, { Records: [], Total: 0 }),
    );
  },
  "get the leader's certificate": async (connection, { nodeID }, own) => {
    const CSR = await createCertificateRequest(await createPrivateKeyPEM());
    const forwardedFor: PeerIdentity = { ...own, nodeID, role: "swarm-manager" };
    return await connection.call(CA_METHODS.issueNodeCertificate, { CSR }, { forwardedFor });
  },
};

/** How each attempt ends for a copy of `material`: the code of the refusal, or `done`. */
export async function attempts(victim: Victim, material: TLSMaterial): Promise<Record<string, string>> {
  const own = identityOf(material);
  const outcomes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(ATTEMPTS)) {
    try {
      const connection = await dialWith(victim.address, material);
      try {
        await attempt(connection, victim, own);
      } finally {
        connection.close();
      }
      outcomes[name] = "done";
    } catch (thrown) {
      outcomes[name] = CoveyError.from(thrown).code;
    }
  }
  return outcomes;
}

/** All of them refused. */
export const ALL_REFUSED = Object.fromEntries(
  Object.keys(ATTEMPTS).map((name) => [name, "permission_denied"]),
);
