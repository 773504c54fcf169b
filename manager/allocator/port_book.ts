/** Which ports that every node answers are which service's. Pure, as the address book is. */
import type { PortConfig } from "../../api/service.ts";

/** Numbers for ports that a spec leaves open (SwarmKit). */
export const MIN_CHOSEN_PORT = 30_000, MAX_CHOSEN_PORT = 32_767;

type Key = string;

function keyOf(protocol: string, number: number): Key {
  return `${number}/${protocol}`;
}

/** The ports in ingress mode; those in host mode are each node's own. */
export class PortBook {
  readonly #services = new Map<Key, string>();
  readonly #keysOf = new Map<string, Set<Key>>();

  /** Forgets everything. */
  clear(): void {
    this.#services.clear();
    this.#keysOf.clear();
  }

  /** Notes that a service has the ports of `ports` in ingress mode; returns those that another has already. */
  claim(service: string, ports: readonly PortConfig[]): PortConfig[] {
    return ports.filter(({ PublishMode, Protocol, PublishedPort }) => {
      if (PublishMode !== "ingress" || PublishedPort === undefined) return false;
      const key = keyOf(Protocol, PublishedPort);
      if ((this.#services.get(key) ?? service) !== service) return true;
      this.#note(service, key);
      return false;
    });
  }

  /** The lowest free number of a protocol, now the service's; undefined where none is left. */
  choose(service: string, protocol: string): number | undefined {
    for (let number = MIN_CHOSEN_PORT; number <= MAX_CHOSEN_PORT; number++) {
      const key = keyOf(protocol, number);
      if (this.#services.has(key)) continue;
      this.#note(service, key);
      return number;
    }
  }

  /** The service has the ports of `ports` and no others; true if that freed any. */
  keep(service: string, ports: readonly PortConfig[]): boolean {
    const kept = new Set(ports.map(({ Protocol, PublishedPort = 0 }) => keyOf(Protocol, PublishedPort)));
    const freed = [...this.#keysOf.get(service) ?? []].filter((key) => !kept.has(key));
    for (const key of freed) {
      this.#services.delete(key);
      this.#keysOf.get(service)!.delete(key);
    }
    if (this.#keysOf.get(service)?.size === 0) this.#keysOf.delete(service);
    return freed.length > 0;
  }

  #note(service: string, key: Key): void {
    this.#services.set(key, service);
    const keys = this.#keysOf.get(service);
    if (keys === undefined) this.#keysOf.set(service, new Set([key]));
    else keys.add(key);
  }
}
