/** Walks every call that a manager offers, by every kind of caller, over real TLS: who is let in? */
import assert from "node:assert/strict";
import { CA_METHODS } from "../../api/ca.ts";
import { DISPATCHER_METHODS, type SessionMessage } from "../../api/dispatcher.ts";
import { CoveyError, type ErrorCode } from "../../api/errors.ts";
import { RAFT_METHODS } from "../../api/raft.ts";
import { CONTROL_METHOD } from "../../manager/forward/control_messages.ts";
import { ADMINISTRATOR } from "../../manager/control/caller.ts";
import { STREAM_METHOD } from "../../manager/forward/task_streams.ts";
import { createCertificateRequest, createPrivateKeyPEM, type NodeIdentity } from "../../security/mod.ts";
import type { CallOptions, Connection, MethodSummary, PeerIdentity, Router } from "../../transport/mod.ts";
import { DESCRIPTION } from "../manager/dispatcher/harness.ts";
import { dialAs, ManagerPort } from "./manager_port.ts";

const CALLERS = [
  "no certificate",
  "worker",
  "manager",
  "other cluster",
  "removed node",
  "removed while connected",
  "removed manager",
  "removed manager while connected",
  "unknown manager",
  "demoted manager",
  "demoted while connected",
  "demoted manager forwarding for a manager",
  "worker forwarding for the manager",
  "nobody forwarding for the manager",
] as const;
type Caller = typeof CALLERS[number];
type Outcome = "let in" | ErrorCode;

interface Entry {
  call: string;
  request: (port: ManagerPort, sessionID: string) => unknown;
  outcome: Record<Caller, Outcome>;
}

/** What every call answers alike: who is gone cannot even connect, and loses the connection that was open. */
const REFUSED = {
  "other cluster": "unauthenticated",
  "removed node": "permission_denied",
  "removed while connected": "unavailable",
  "removed manager": "permission_denied",
  "removed manager while connected": "unavailable",
  "unknown manager": "permission_denied",
  "demoted while connected": "unavailable",
  "demoted manager forwarding for a manager": "permission_denied",
  "worker forwarding for the manager": "permission_denied",
  "nobody forwarding for the manager": "permission_denied",
} as const;
const NODES_ONLY = {
  ...REFUSED,
  "no certificate": "unauthenticated",
  worker: "let in",
  manager: "let in",
  "demoted manager": "let in", // its agent may have no other certificate yet
} as const;

const csr = await createCertificateRequest(await createPrivateKeyPEM());

/** The only manager is let in, but not let go. */
const LEAVING = new Set<string>([RAFT_METHODS.leave, RAFT_METHODS.withdraw]);
/** A member that nobody knows: it may speak, and is not heeded. */
const STRANGER = 1;

const REQUESTS_OF_MANAGERS: Record<string, Entry["request"]> = {
  [CONTROL_METHOD]: () => ({
    Method: "GET",
    Path: "/nodes",
    Headers: [],
    Body: new Uint8Array(),
    Caller: ADMINISTRATOR,
  }),
  [RAFT_METHODS.messages]: (port) => [helloTo(port), { Messages: [] }],
  [RAFT_METHODS.snapshot]: (port) => {
    const snapshot = {
      index: 1,
      term: 0,
      confState: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], removed: [] },
    };
    const Message = { type: "snapshot", from: STRANGER, to: memberID(port), term: 0, snapshot };
    return [helloTo(port), { Message, Members: [] }, { Records: [], Total: 0 }];
  },
  [RAFT_METHODS.health]: () => ({}),
  [RAFT_METHODS.join]: (port) => ({
    NodeID: port.own.identity.nodeID,
    MemberID: memberID(port),
    Addr: port.address,
  }),
  [RAFT_METHODS.leave]: (port) => ({ NodeID: port.own.identity.nodeID }),
  [RAFT_METHODS.withdraw]: () => ({}),
};

function memberID(port: ManagerPort): number {
  return port.member.status().members[0]!.memberID;
}

function helloTo(port: ManagerPort, From = STRANGER) {
  return { From, To: memberID(port), Addr: "127.0.0.1:1" };
}

/** Who may make which call. A call that is registered and not listed here fails the test. */
const TABLE: Entry[] = [
  {
    call: CA_METHODS.getRootCACertificate,
    request: () => ({}),
    outcome: {
      ...REFUSED,
      "no certificate": "let in",
      worker: "let in",
      manager: "let in",
      "demoted manager": "let in",
    },
  },
  {
    call: CA_METHODS.issueNodeCertificate, // a join
    request: (port) => ({ CSR: csr, Token: port.cluster.RootCA.JoinTokens.Worker }),
    outcome: {
      ...REFUSED,
      "no certificate": "let in",
      worker: "let in", // its own renewal: the token is ignored
      manager: "let in",
      "demoted manager": "let in",
    },
  },
  {
    call: CA_METHODS.issueNodeCertificate, // a renewal
    request: () => ({ CSR: csr }),
    outcome: {
      ...REFUSED,
      "no certificate": "unauthenticated",
      worker: "let in",
      manager: "let in",
      "demoted manager": "let in", // as the worker that it is
    },
  },
  {
    call: DISPATCHER_METHODS.session,
    request: (_port, SessionID) => ({ SessionID, Description: DESCRIPTION }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.heartbeat,
    request: (_port, SessionID) => ({ SessionID }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.updateTaskStatus,
    request: (_port, SessionID) => ({ SessionID, Updates: [] }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.publishLogs,
    request: (_port, SessionID) => ({ SessionID, AskID: "none", Run: "run", Seq: 1 }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.renewSeals,
    request: (_port, SessionID) => ({ SessionID, Seals: [] }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.assignments,
    request: (_port, SessionID) => ({ SessionID }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.loaded,
    request: (_port, SessionID) => ({ SessionID, Index: 1 }),
    outcome: NODES_ONLY,
  },
  {
    call: DISPATCHER_METHODS.drained,
    request: (_port, SessionID) => ({ SessionID, TaskID: "none" }),
    outcome: NODES_ONLY,
  },
  // Who may call is told what is wrong: nobody asks for a stream here.
  {
    call: DISPATCHER_METHODS.stream,
    request: (_port, SessionID) => ({ SessionID, StreamID: "none" }),
    outcome: { ...NODES_ONLY, worker: "not_found", manager: "not_found", "demoted manager": "not_found" },
  },
  {
    call: DISPATCHER_METHODS.relay,
    request: () => ({}),
    outcome: {
      ...NODES_ONLY,
      worker: "invalid_argument",
      manager: "invalid_argument",
      "demoted manager": "invalid_argument",
    },
  },
  {
    call: STREAM_METHOD,
    request: () => ({}),
    outcome: {
      ...REFUSED,
      "no certificate": "unauthenticated",
      worker: "permission_denied",
      manager: "invalid_argument",
      "demoted manager": "permission_denied",
    },
  },
  ...[CONTROL_METHOD, ...Object.values(RAFT_METHODS)].map((call): Entry => ({
    call,
    request: REQUESTS_OF_MANAGERS[call]!,
    outcome: {
      ...REFUSED,
      "no certificate": "unauthenticated",
      worker: "permission_denied",
      manager: LEAVING.has(call) ? "failed_precondition" : "let in",
      "demoted manager": "permission_denied",
    },
  })),
];

/** Registered calls that the table does not know, and calls of the table that are not registered. */
function mismatches(router: Router): string[] {
  const registered = new Set(router.methods().map(({ name }) => name));
  const listed = new Set(TABLE.map(({ call }) => call));
  return [...registered.symmetricDifference(listed)];
}

/** One caller's connection, or why it has none, and how it calls. */
interface Line {
  connection: Connection | CoveyError;
  options: CallOptions;
  sessionID: string;
}

async function callers(port: ManagerPort, other: ManagerPort): Promise<Record<Caller, Line>> {
  const worker = await port.join();
  const [removed, removedLater] = [await port.join(), await port.join()];
  const managers = port.cluster.RootCA.JoinTokens.Manager;
  const [gone, goneLater, unknown] = [
    await port.join(managers),
    await port.join(managers),
    await port.join(managers),
  ];
  const [demoted, demotedLater] = [await port.join(managers), await port.join(managers)];
  const forManager = { forwardedFor: peerOf(port.own.identity) };
  const line = async (identity: NodeIdentity | undefined, options: CallOptions = {}): Promise<Line> => {
    const connection = await dialAs(port.address, identity).catch(CoveyError.from);
    return { connection, options, sessionID: "none" };
  };
  await port.removeNode(removed.nodeID);
  await port.removeNode(gone.nodeID);
  await port.store.update((tx) => tx.delete("nodes", unknown.nodeID));
  await port.demoteNode(demoted.nodeID);
  const lines: Record<Caller, Line> = {
    "no certificate": await line(undefined),
    worker: await line(worker),
    manager: await line(port.own.identity),
    "other cluster": await line(await other.join()),
    "removed node": await line(removed),
    "removed while connected": await line(removedLater),
    "removed manager": await line(gone),
    "removed manager while connected": await line(goneLater),
    "unknown manager": await line(unknown),
    "demoted manager": await line(demoted),
    "demoted while connected": await line(demotedLater),
    "demoted manager forwarding for a manager": await line(demoted, forManager),
    "worker forwarding for the manager": await line(worker, forManager),
    "nobody forwarding for the manager": await line(undefined, forManager),
  };
  for (const name of ["worker", "manager", "demoted manager", "removed while connected"] as const) {
    lines[name].sessionID = await openSession(lines[name].connection as Connection);
  }
  for (
    const name of [
      "removed while connected",
      "removed manager while connected",
      "demoted while connected",
    ] as const
  ) {
    assert.ok(!(lines[name].connection instanceof CoveyError), `${name}: ${lines[name].connection}`);
  }
  await port.removeNode(removedLater.nodeID);
  await port.removeNode(goneLater.nodeID);
  await port.demoteNode(demotedLater.nodeID);
  for (
    const name of [
      "removed while connected",
      "removed manager while connected",
      "demoted while connected",
    ] as const
  ) {
    await (lines[name].connection as Connection).closed;
  }
  return lines;
}

function peerOf({ nodeID, clusterID, role, certificatePEM }: NodeIdentity): PeerIdentity {
  return { nodeID, clusterID, role, certificatePEM };
}

/** Opens a dispatcher session, which outlives the stream that opened it. */
async function openSession(connection: Connection): Promise<string> {
  const stream = connection.serverStream<SessionMessage>(DISPATCHER_METHODS.session, {
    Description: DESCRIPTION,
  });
  for await (const { SessionID } of stream) return SessionID;
  throw new Error("the stream ended without a session");
}

async function* stream(items: unknown[]): AsyncGenerator<unknown> {
  yield* items;
}

/** Makes one call of whatever kind; of a stream, the first item is enough. */
async function attempt(
  { connection, options }: Line,
  method: MethodSummary,
  request: unknown,
): Promise<Outcome> {
  if (connection instanceof CoveyError) return connection.code;
  try {
    if (method.kind === "unary") await connection.call(method.name, request, options);
    else if (method.kind === "client_stream") {
      await connection.clientStream(method.name, stream(request as unknown[]), options);
    } else if (method.kind === "duplex") {
      for await (const _ of connection.duplex(method.name, request, stream([]), options)) break;
    } else for await (const _ of connection.serverStream(method.name, request, options)) break;
    return "let in";
  } catch (error) {
    return CoveyError.from(error).code;
  }
}

Deno.test("Access: every registered call lets in whom the table names, and nobody else", async () => {
  await using port = await ManagerPort.start();
  await using other = await ManagerPort.start();
  assert.deepEqual(mismatches(port.router), []);
  const lines = await callers(port, other);
  const methods = new Map(port.router.methods().map((method) => [method.name, method]));
  const actual: string[] = [], expected: string[] = [];
  for (const [row, { call, request, outcome }] of TABLE.entries()) {
    for (const caller of CALLERS) {
      const line = lines[caller];
      const got = await attempt(line, methods.get(call)!, request(port, line.sessionID));
      actual.push(`${row} ${call} by ${caller}: ${got}`);
      expected.push(`${row} ${call} by ${caller}: ${outcome[caller]}`);
    }
  }
  assert.deepEqual(actual, expected);
});

Deno.test("Access: what a node has open ends with its role, answered or not", async () => {
  await using port = await ManagerPort.start();
  const [removed, demoted] = [await port.join(), await port.join(port.cluster.RootCA.JoinTokens.Manager)];
  const [session, messages] = [await dialAs(port.address, removed), await dialAs(port.address, demoted)];
  const untilEnd = Array.fromAsync(
    session.serverStream(DISPATCHER_METHODS.session, { Description: DESCRIPTION }),
  );
  const never = Promise.withResolvers<void>();
  async function* hello() {
    yield helloTo(port);
    await never.promise;
  }
  const sending = messages.clientStream(RAFT_METHODS.messages, hello());
  const ended = [
    assert.rejects(untilEnd, /the node was removed from the cluster/),
    assert.rejects(sending, /the node is no manager any more/),
  ];
  await port.removeNode(removed.nodeID);
  await port.demoteNode(demoted.nodeID);
  await Promise.all(ended);
  never.resolve();
  // The worker that it is now still gets its certificate.
  const { Role } = await (await dialAs(port.address, demoted)).call<{ Role: string }>(
    CA_METHODS.issueNodeCertificate,
    { CSR: csr },
  );
  assert.equal(Role, "worker");
});

Deno.test("Access: a call that is registered without an entry in the table fails the walk", async () => {
  await using port = await ManagerPort.start();
  port.router.register("raft.everything", {
    kind: "unary",
    access: "manager",
    handler: () => Promise.resolve({}),
  });
  assert.deepEqual(mismatches(port.router), ["raft.everything"]);
});

Deno.test("Access: a manager speaks for itself only, whatever it says it is", async () => {
  await using port = await ManagerPort.start();
  const other = await port.join(port.cluster.RootCA.JoinTokens.Manager);
  const connection = await dialAs(port.address, other);
  const refused = { code: "permission_denied", message: new RegExp(`the certificate is of ${other.nodeID}`) };
  const NodeID = port.own.identity.nodeID, Addr = port.address, MemberID = memberID(port);
  await assert.rejects(connection.call(RAFT_METHODS.join, { NodeID, MemberID, Addr }), refused);
  await assert.rejects(connection.call(RAFT_METHODS.leave, { NodeID }), refused);
  for (const method of [RAFT_METHODS.messages, RAFT_METHODS.snapshot]) {
    await assert.rejects(connection.clientStream(method, stream([helloTo(port, MemberID)])), refused);
  }
  const vote = { type: "vote", from: 2, to: MemberID, term: 99, lastIndex: 99, lastTerm: 99, transfer: true };
  const forged = stream([helloTo(port), { Messages: [vote] }]);
  await assert.rejects(connection.clientStream(RAFT_METHODS.messages, forged), refused);
  // Who withdraws is who calls.
  assert.deepEqual(await connection.call(RAFT_METHODS.withdraw, { NodeID }), {});
  assert.equal(port.store.get("nodes", other.nodeID), undefined);
  assert.equal(port.member.status().members.length, 1);
  // It hears that, and nothing else any more.
  await assert.rejects(connection.call(RAFT_METHODS.health, {}), { reason: "not_in_cluster" });
  assert.match((await connection.closed)!.message, /the cluster has no such node/);
});

Deno.test("Access: a worker gets its own certificate only, whatever it asks for", async () => {
  await using port = await ManagerPort.start();
  const worker = await port.join();
  const connection = await dialAs(port.address, worker);
  const request = {
    CSR: csr,
    Token: port.cluster.RootCA.JoinTokens.Manager,
    ReissueNodeID: port.own.identity.nodeID,
  };
  const answer = await connection.call<{ NodeID: string; Role: string }>(
    CA_METHODS.issueNodeCertificate,
    request,
  );
  assert.deepEqual([answer.NodeID, answer.Role], [worker.nodeID, "worker"]);
});
