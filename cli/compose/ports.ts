/** `ports` of a service. Pure. */
import type { PortConfig } from "../../api/service.ts";
import { Section } from "./section.ts";
import type { Scalar } from "./tree.ts";

/** The largest port. */
const MAX_PORT = 65_535;

/** `[HOST[-END]:]PORT[-END][/PROTOCOL]` */
const SHORT = /^(?:(?<from>\d+)(?:-(?<fromEnd>\d+))?:)?(?<to>\d+)(?:-(?<toEnd>\d+))?(?:\/(?<protocol>\w+))?$/;

const PROTOCOLS = ["tcp", "udp", "sctp"] as const;

/** The ports of a service, in the order in which Docker keeps them. */
export function portsOf(service: Section): PortConfig[] {
  const ports = service.items("ports").flatMap(({ tree, path }) => {
    if (tree.kind === "scalar") return shortPorts(service, tree, path);
    return longPort(Section.of(tree, path, service.problems));
  });
  return ports.sort((a, b) => (a.PublishedPort ?? 0) - (b.PublishedPort ?? 0));
}

function shortPorts(service: Section, scalar: Scalar, path: string): PortConfig[] {
  const text = scalar.text ?? "";
  const refuse = (what: string): PortConfig[] => {
    service.problems.add(scalar.at, path, what);
    return [];
  };
  const parts = /^(?<ip>.+):(?<rest>[^:]*:[^:]+)$/.exec(text)?.groups;
  if (parts) {
    service.problems.unsupported(
      scalar.at,
      path,
      `a port of one address (${parts.ip}) is not supported in a swarm: it is published on all`,
    );
  }
  const found = SHORT.exec(parts?.rest ?? text)?.groups;
  if (!found) return refuse(`want HOST:PORT or PORT, each a number or a range, not "${text}"`);
  const protocol = (found.protocol ?? "tcp").toLowerCase() as typeof PROTOCOLS[number];
  if (!PROTOCOLS.includes(protocol)) return refuse(`"${found.protocol}" is none of ${PROTOCOLS.join(", ")}`);
  const to = range(found.to!, found.toEnd),
    from = found.from === undefined ? [] : range(found.from, found.fromEnd);
  if (![...to, ...from].every((port) => port >= 1 && port <= MAX_PORT)) {
    return refuse(`ports are from 1 to ${MAX_PORT}, not "${text}"`);
  }
  if (from.length > 0 && from.length !== to.length) {
    return refuse(`the ranges of "${text}" are of unequal length`);
  }
  return to.map((TargetPort, i) => ({
    Protocol: protocol,
    TargetPort,
    ...(from.length > 0 && { PublishedPort: from[i]! }),
    PublishMode: "ingress" as const,
  }));
}

/** The numbers of a range; empty where it runs backwards, or has more than there are ports. */
function range(first: string, last = first): number[] {
  const from = Number(first), count = Number(last) - from + 1;
  return count >= 1 && count <= MAX_PORT ? Array.from({ length: count }, (_, i) => from + i) : [0];
}

function longPort(port: Section): PortConfig[] {
  const target = port.count("target"), published = port.count("published"), name = port.text("name");
  const protocol = port.choice("protocol", PROTOCOLS),
    mode = port.choice("mode", ["ingress", "host"] as const);
  port.text("app_protocol");
  port.unsupported({ host_ip: "it is published on all addresses" });
  port.end();
  if (target === undefined || target < 1 || target > MAX_PORT) {
    port.problems.add(port.at, `${port.path}.target`, `want a port from 1 to ${MAX_PORT}`);
    return [];
  }
  return [{
    ...(name !== undefined && { Name: name }),
    Protocol: protocol ?? "tcp",
    TargetPort: target,
    ...(published !== undefined && { PublishedPort: published }),
    PublishMode: mode ?? "ingress",
  }];
}
