/** Transactions on secrets and configs (SwarmKit `controlapi/secret.go`, `config.go`), and who still needs them. */
import {
  dependenciesOf,
  type DependencyKind,
  type NodeSeal,
  type PayloadSpec,
} from "../../api/dependency.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import type { TaskSpec } from "../../api/service.ts";
import { parsePayloadUpdate } from "../../api/validate/mod.ts";
import { type ReadView, type Store, TABLE_OF, type WriteTransaction } from "../store/mod.ts";
import { deleteSeals, putSeal } from "../task/seals.ts";
import { namesInPayload } from "../task/variables.ts";
import { payloadsNamed } from "./lookup.ts";
import { requireVersion } from "./version.ts";

/** Stores a new secret or config and resolves with its ID. Throws `already_exists` if the name is taken. */
export async function createPayload(
  store: Store,
  random: Random,
  kind: DependencyKind,
  spec: PayloadSpec,
  seals: readonly NodeSeal[] = [],
): Promise<string> {
  const ID = newID(random), table = TABLE_OF[kind];
  await store.update((tx) => {
    if (payloadsNamed(tx, kind, spec.Name).length > 0) {
      throw new CoveyError("already_exists", `${kind} ${spec.Name} already exists`);
    }
    tx.create(table, { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "", Spec: spec });
    putSeals(tx, ID, spec, seals);
  });
  return ID;
}

/**
 * Adds seals to a secret, for nodes that came later; with a `spec`, its data is sealed anew with them. Throws `not_found`, and
 * `failed_precondition` for a secret that is not sealed.
 */
export async function sealPayload(
  store: Store,
  id: string,
  spec: Pick<PayloadSpec, "Data" | "Sealed"> | undefined,
  seals: readonly NodeSeal[],
): Promise<void> {
  await store.update((tx) => {
    const secret = requirePayload(tx, "secret", id);
    if (secret.Spec.Sealed === undefined) {
      const message = `secret ${secret.Spec.Name} is not sealed: managers hold what is in it`;
      throw new CoveyError("failed_precondition", message);
    }
    const next = { ...secret, Spec: { ...secret.Spec, ...spec } };
    if (spec !== undefined) tx.update("secrets", next);
    putSeals(tx, id, next.Spec, seals);
  });
}

/** Writes the seals of a secret. Throws `invalid_argument` for one of a node that is not there, or of no sealed secret. */
export function putSeals(
  tx: WriteTransaction,
  secretID: string,
  { Sealed }: PayloadSpec,
  seals: readonly NodeSeal[],
): void {
  if (seals.length > 0 && Sealed === undefined) {
    throw CoveyError.invalid("seal the secret", [{ field: "Seals", message: "the secret is not sealed" }]);
  }
  for (const [index, seal] of seals.entries()) {
    if (tx.get("nodes", seal.NodeID) === undefined) {
      const problem = { field: `Seals[${index}].NodeID`, message: `node ${seal.NodeID} not found` };
      throw CoveyError.invalid("seal the secret", [problem]);
    }
    putSeal(tx, secretID, Sealed!.ID, seal);
  }
}

/**
 * Replaces the labels. Throws `not_found`, `aborted` for a stale version, and `invalid_argument` for a body that changes
 * anything else.
 */
export async function updatePayload(
  store: Store,
  kind: DependencyKind,
  id: string,
  version: number,
  body: unknown,
): Promise<void> {
  await store.update((tx) => {
    const payload = requirePayload(tx, kind, id);
    const Spec = parsePayloadUpdate(kind, body, payload.Spec);
    requireVersion(payload, version);
    tx.update(TABLE_OF[kind], { ...payload, Spec });
  });
}

/** Removes it. Throws `not_found`, and `invalid_argument` naming the services that use it. */
export async function removePayload(store: Store, kind: DependencyKind, id: string): Promise<void> {
  await store.update((tx) => {
    const { Spec: { Name } } = requirePayload(tx, kind, id);
    const users = tx.all("services").filter(({ Spec }) =>
      dependenciesOf(Spec.TaskTemplate).some((each) => each.Kind === kind && each.ID === id)
    ).map(({ Spec }) => Spec.Name);
    if (users.length > 0) {
      const services = `service${users.length === 1 ? "" : "s"}: ${users.join(", ")}`;
      const message = `${kind} '${Name}' is in use by the following ${services}`;
      throw CoveyError.invalid(`remove the ${kind}`, [{ field: Name, message }]);
    }
    tx.delete(TABLE_OF[kind], id);
    if (kind === "secret") deleteSeals(tx, tx.find("seals", "secretID", id));
  });
}

/** Throws `invalid_argument` where `task` references a secret or config that is not there, or has another name. */
export function requireDependencies(view: ReadView, task: TaskSpec): void {
  const missing = dependenciesOf(task).filter(({ Kind, ID, Name }) => {
    const found = view.get(TABLE_OF[Kind], ID);
    // Who has an older version knows it by the name that it had then.
    return found?.Spec.Name !== Name && found?.Edition?.Of !== Name;
  });
  const problems: FieldProblem[] = [], spec = task.ContainerSpec ? "ContainerSpec" : "ProcessSpec";
  for (const [kind, field] of [["secret", "Secrets"], ["config", "Configs"]] as const) {
    const names = missing.filter(({ Kind }) => Kind === kind).map(({ Name }) => Name);
    if (names.length === 0) continue;
    const message = `${kind}${names.length === 1 ? "" : "s"} not found: ${names.join(", ")}`;
    problems.push({ field: `TaskTemplate.${spec}.${field}`, message });
  }
  checkSecretVariables(view, task, problems);
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
}

/** Notes configs that would carry a secret into a container's variables, which an engine keeps on its disk. */
function checkSecretVariables(view: ReadView, task: TaskSpec, problems: FieldProblem[]): void {
  if (task.ContainerSpec === undefined) return;
  for (const { Kind, ID, Name, Env } of dependenciesOf(task)) {
    const spec = Kind === "config" && Env !== undefined ? view.get("configs", ID)?.Spec : undefined;
    if (spec === undefined || !namesInPayload(spec).functions.includes("secret")) continue;
    const message = `config ${Name} holds secrets, and an engine keeps variables on its disk in clear: ` +
      "let the container read its file";
    problems.push({ field: "TaskTemplate.ContainerSpec.Configs", message });
  }
}

/** The secret or config with this ID. Throws `not_found`. */
export function requirePayload(tx: WriteTransaction, kind: DependencyKind, id: string) {
  const payload = tx.get(TABLE_OF[kind], id);
  if (payload === undefined) throw new CoveyError("not_found", `${kind} ${id} not found`);
  return payload;
}
