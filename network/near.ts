/**
 * Addresses of services that a task's own namespace translates, so that its packets go on as those straight to a task do: they
 * are tracked once, not twice, keep their source address, and share no address's ports with other tasks. Whoever is not
 * there, or not in time, is translated in the networks' namespace; see docs/decisions/0193. Pure.
 */
import type { NodeNetworks } from "./node_networks.ts";
import type { TaskHere } from "./task_spaces.ts";

/**
 * Tasks of a node that translate for themselves, and services' addresses in all of them. What changes is loaded for each task
 * again, some 20 ms of a processor, before a new backend is asked first; each address takes some 1.5 kB of the kernel's memory.
 * Other tasks go by the networks' namespace.
 */
const MAX_TASKS = 32, MAX_ADDRESSES = 1000;

/** Where a task's namespace is found: by a process in it, or, of a program, by its own name. */
export interface NearTask {
  task: TaskHere;
  /** A process in it; undefined: it is one that the helper made. */
  pid?: number;
}

/** What is to be asked for each task, by its ID. */
export function planNear(told: NodeNetworks, tasks: Iterable<NearTask>): Map<string, string[]> {
  const planned = new Map<string, string[]>(), services = new Map<string, string[]>();
  let tasksLeft = MAX_TASKS, left = MAX_ADDRESSES;
  for (const { task: { ID, NetworkAttachments = [] }, pid } of tasks) {
    const joined = NetworkAttachments.filter(({ NetworkID }) =>
      told.networks.get(NetworkID)?.Ingress === false
    );
    const [address] = joined[0]?.Addresses[0]?.split("/", 1) ?? [];
    if (address === undefined) continue;
    const rules = joined.flatMap(({ NetworkID }) => {
      if (!services.has(NetworkID)) services.set(NetworkID, translated(told, NetworkID));
      return services.get(NetworkID)!;
    });
    const fits = rules.length <= left && tasksLeft > 0;
    if (fits) left -= rules.length, tasksLeft--;
    const place = pid === undefined ? `own:${ID}:${address}` : `at:${pid}:${address}`;
    planned.set(ID, [place, ...fits ? rules : []]);
  }
  return planned;
}

/** Only the networks' namespace relays, and refuses for whom nobody serves. */
function translated(told: NodeNetworks, networkID: string): string[] {
  const relayed = new Set(told.relayed(networkID));
  return told.services(networkID).flatMap(({ VirtualIP, Backends }) => {
    const addresses = Backends.map(({ Address }) => Address);
    if (VirtualIP === undefined || addresses.length === 0) return [];
    return addresses.some((address) => relayed.has(address))
      ? []
      : [`vip:${VirtualIP}:${addresses.join(",")}`];
  });
}

/** Of a task's words those by which they differ from what was asked `before`, where that is enough; else all. */
export function changeOf(before: string | undefined, words: readonly string[]): string[] {
  const had = before?.split(" ") ?? [], heads = (all: readonly string[]) => all.map(headOf).join(" ");
  if (heads(had) !== heads(words)) return [...words];
  const [place, ...rules] = words;
  return [`${place}:part`, ...rules.filter((rule) => !had.includes(rule))];
}

/** A place, or which address it is that is translated. */
function headOf(word: string): string {
  return word.startsWith("vip:") ? word.slice(0, word.lastIndexOf(":")) : word;
}
