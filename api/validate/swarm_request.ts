/** Normalizes and validates what `/swarm/init` and `/swarm/join` are asked. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import type { NodeAvailability } from "../node.ts";
import { anyObject, flag, line, list, oneOfFolded, record, type Shape, unsupported } from "./shape.ts";

const overlay = unsupported("overlay networks are not available yet");

const common = {
  ListenAddr: line(),
  AdvertiseAddr: line(),
  DataPathAddr: overlay,
  Availability: oneOfFolded(["active", "pause", "drain"], (word) => `invalid Availability: "${word}"`),
};

/** Docker's default, which its client always sends. */
const SUBNET_SIZE = 24;

function subnetSize(value: unknown, path: string, problems: FieldProblem[]): undefined {
  if (value !== SUBNET_SIZE) overlay(value, path, problems);
}

const initShape = record({
  ...common,
  DataPathPort: overlay,
  DefaultAddrPool: overlay,
  SubnetSize: subnetSize as Shape<never>,
  ForceNewCluster: flag,
  AutoLockManagers: flag,
  Spec: anyObject,
});

const unlockShape = record({ UnlockKey: line() });

const joinShape = record({ ...common, RemoteAddrs: list(line()), JoinToken: line() });

/** Addresses and availability of a node that starts or joins a swarm. */
export interface MemberRequest {
  ListenAddr?: string;
  AdvertiseAddr?: string;
  Availability?: NodeAvailability;
}

function check<T>(
  shape: Shape<T>,
  body: unknown,
  action: string,
  more: (found: T, problems: FieldProblem[]) => void,
) {
  const problems: FieldProblem[] = [];
  const found = shape(body, "", problems);
  if (found !== undefined) more(found, problems);
  if (problems.length > 0 || found === undefined) throw CoveyError.invalid(action, problems);
  return found;
}

/** True if `/swarm/init` is asked to go on as the only manager of the swarm that the node is in. */
export function forcesNewCluster(body: unknown): boolean {
  return record({ ForceNewCluster: flag })(body, "", [])?.ForceNewCluster === true;
}

/** What to start a swarm with; `Spec` is not looked into. Throws `invalid_argument` with every problem. */
export function parseInitRequest(
  body: unknown,
): MemberRequest & {
  ForceNewCluster?: boolean;
  AutoLockManagers?: boolean;
  Spec?: Record<string, unknown>;
} {
  const { DataPathAddr: _, DataPathPort: _port, DefaultAddrPool: _pool, SubnetSize: _size, ...request } =
    check(
      initShape,
      body,
      "start a swarm",
      () => {},
    );
  return request;
}

/** Which swarm to join. Throws as {@linkcode parseInitRequest}. */
export function parseJoinRequest(
  body: unknown,
): MemberRequest & { RemoteAddrs: string[]; JoinToken: string } {
  const { DataPathAddr: _, RemoteAddrs = [], JoinToken = "", ...request } = check(
    joinShape,
    body,
    "join a swarm",
    (found, problems) => {
      if (found.RemoteAddrs === undefined) {
        problems.push({ field: "RemoteAddrs", message: "at least 1 RemoteAddr is required to join" });
      }
      if (found.JoinToken === undefined) {
        problems.push({ field: "JoinToken", message: "a join token is required" });
      }
    },
  );
  return { ...request, RemoteAddrs, JoinToken };
}

/** The key to unlock a manager with, empty if none was given. Throws as {@linkcode parseInitRequest}. */
export function parseUnlockRequest(body: unknown): string {
  return check(unlockShape, body, "unlock the swarm", () => {}).UnlockKey ?? "";
}
