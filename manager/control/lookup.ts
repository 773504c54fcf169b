/** Finding objects as users name them: the full ID, then the name, then an unambiguous prefix of the ID (moby `cluster/helpers.go`). */
import { CoveyError } from "../../api/errors.ts";
import type { Config, DependencyKind, Secret } from "../../api/dependency.ts";
import type { Network } from "../../api/network.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import { type Task, taskName } from "../../api/task.ts";
import { type ReadView, TABLE_OF } from "../store/mod.ts";
import { presentNetworks } from "../cluster/networks.ts";

/** The service called `input`. Throws `not_found`, or `invalid_argument` where several match. */
export function findService(view: ReadView, input: string): Service {
  return view.get("services", input) ??
    only(
      "service",
      input,
      view.find("services", "name", input.toLowerCase()).filter((each) => each.Spec.Name === input),
      () => view.all("services"),
    );
}

/** The node called `input`, by ID or host name. Throws as {@linkcode findService}. */
export function findNode(view: ReadView, input: string): Node {
  return view.get("nodes", input) ??
    only(
      "node",
      input,
      view.all("nodes").filter((each) => each.Description?.Hostname === input),
      () => view.all("nodes"),
    );
}

/** The task called `input`, by ID or `service.slot.id`. Throws as {@linkcode findService}. */
export function findTask(view: ReadView, input: string): Task {
  const byID = view.get("tasks", input) ?? view.get("tasks", input.slice(input.lastIndexOf(".") + 1));
  if (byID !== undefined && (byID.ID === input || taskName(byID) === input)) return byID;
  return only("task", input, [], () => view.all("tasks"));
}

/** The network called `input`. Throws as {@linkcode findService}. */
export function findNetwork(view: ReadView, input: string): Network {
  const network = view.get("networks", input);
  if (network !== undefined && network.RemovedAt === undefined) return network;
  return only(
    "network",
    input,
    view.find("networks", "name", input).filter((each) => each.Spec.Name === input),
    () => presentNetworks(view),
  );
}

/** The secret or config of this name, whatever its case. */
export function payloadsNamed(view: ReadView, kind: DependencyKind, name: string): (Secret | Config)[] {
  return kind === "secret" ? view.find("secrets", "name", name) : view.find("configs", "name", name);
}

/** The secret or config called `input`, in any case, as Docker has it of these alone. Throws as {@linkcode findService}. */
export function findPayload(view: ReadView, kind: DependencyKind, input: string): Secret | Config {
  const table = TABLE_OF[kind];
  return view.get(table, input) ??
    only(kind, input, payloadsNamed(view, kind, input), () => view.all(table));
}

/** The one object of `named`, or else the one of `all` whose ID starts with `input`. */
function only<T extends { ID: string }>(kind: string, input: string, named: T[], all: () => T[]): T {
  const found = named.length > 0 ? named : all().filter((each) => each.ID.startsWith(input));
  if (found.length > 1) {
    throw new CoveyError("invalid_argument", `${kind} ${input} is ambiguous (${found.length} matches found)`);
  }
  if (found[0] === undefined || input === "") throw new CoveyError("not_found", `${kind} ${input} not found`);
  return found[0];
}
