/** Finding objects the way docker does: the server resolves full IDs, names and unique prefixes. */
import type { ControlClient } from "./client.ts";
import type { NodeView, ServiceView, TaskView } from "./api_types.ts";

/** One service by ID, name or unique ID prefix. */
export function getService(client: ControlClient, reference: string): Promise<ServiceView> {
  return client.get<ServiceView>(`/services/${encodeURIComponent(reference)}`);
}

/** One node by ID, hostname, unique ID prefix, or `self`. */
export async function getNode(client: ControlClient, reference: string): Promise<NodeView> {
  if (reference !== "self") return await client.get<NodeView>(`/nodes/${encodeURIComponent(reference)}`);
  const info = await client.get<{ Swarm: { NodeID: string } }>("/info");
  return await client.get<NodeView>(`/nodes/${info.Swarm.NodeID}`);
}

/** All tasks of a service. */
export function tasksOfService(
  client: ControlClient,
  serviceID: string,
  signal?: AbortSignal,
): Promise<TaskView[]> {
  return client.get<TaskView[]>("/tasks", { filters: { service: [serviceID] } }, signal);
}

/** Hostnames by node ID. */
export async function hostnames(client: ControlClient): Promise<Map<string, string>> {
  const nodes = await client.get<NodeView[]>("/nodes");
  return new Map(nodes.map((node) => [node.ID, node.Description?.Hostname ?? node.ID]));
}

/** `--filter key=value` pairs as the API takes them. */
export function parseFilters(pairs: string[]): Record<string, string[]> {
  // Whatever the key: none is that of a prototype.
  const filters: Record<string, string[]> = Object.create(null);
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const [key, value] = at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    (filters[key] ??= []).push(value);
  }
  return filters;
}
