/** The host's ports of a container as the engine tells of them. */
import type { PortConfig } from "../../api/service.ts";
import type { ContainerInspect } from "./engine_types.ts";

/** Ports of one container that are told of: far above any real one, low enough for a task's status. */
const MAX_PORTS = 256;

/** Each host port once, although the engine binds it for both kinds of addresses; by the container's port. */
export function publishedPorts({ NetworkSettings }: ContainerInspect): PortConfig[] {
  const ports = new Map<string, PortConfig>();
  for (const [key, bindings] of Object.entries(NetworkSettings?.Ports ?? {})) {
    const [port = "", protocol = "tcp"] = key.split("/");
    const TargetPort = Number(port), Protocol = protocol as PortConfig["Protocol"];
    for (const { HostPort } of bindings ?? []) {
      const PublishedPort = Number(HostPort);
      if (TargetPort > 0 && PublishedPort > 0 && ports.size < MAX_PORTS) {
        ports.set(`${key} ${HostPort}`, { Protocol, TargetPort, PublishedPort, PublishMode: "host" });
      }
    }
  }
  return [...ports.values()].sort((a, b) =>
    a.TargetPort - b.TargetPort || a.PublishedPort! - b.PublishedPort!
  );
}
