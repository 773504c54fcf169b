/** Transactions on variables, and the updates of services that follow. */
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import { isJob, type Service, type TaskSpec } from "../../api/service.ts";
import type { VariablesChange } from "../../api/validate/mod.ts";
import { VARIABLE_LABEL, type Variables } from "../../api/variables.ts";
import type { ReadView, Store, WriteTransaction } from "../store/mod.ts";
import { forNewcomer } from "../task/gate.ts";
import { isWanted } from "../task/task.ts";
import { hasOtherVariables, variableNames } from "../task/variables.ts";

/** Bytes of the values of one scope as JSON: they are in the log with each change of it. */
const MAX_VALUES_BYTES = 64 * 1024;

/** Names of services: those that an update has begun for, and those whose update is paused and has to be gone on with. */
export interface VariablesOutcome {
  Updated: string[];
  Paused: string[];
}

/**
 * Sets and removes variables of one scope, and starts an update of each service that gets other values by it. Throws
 * `invalid_argument` for the removal of one that a service uses and that nobody else has, and `not_found` for the removal
 * of one that is not there.
 */
export async function changeVariables(
  store: Store,
  random: Random,
  { Scope, Set: set, Remove }: VariablesChange,
): Promise<VariablesOutcome> {
  return await store.update((tx) => {
    const [before] = tx.find("variables", "name", Scope);
    const Values = { ...before?.Spec.Values, ...set };
    for (const name of Remove) {
      if (!Object.hasOwn(Values, name)) {
        throw new CoveyError("not_found", `variable ${name} not found in ${Scope}`);
      }
      delete Values[name];
    }
    requireSize(Scope, Values);
    write(tx, random, Scope, before, Values);
    requireUnused(tx, Remove);
    return updateUsers(tx, [...Object.keys(set), ...Remove]);
  });
}

function requireSize(scope: string, values: Record<string, string>): void {
  const bytes = new TextEncoder().encode(JSON.stringify(values)).length;
  if (bytes <= MAX_VALUES_BYTES) return;
  const message = `those of ${scope} would have ${bytes} bytes, at most ${MAX_VALUES_BYTES} are allowed`;
  throw CoveyError.invalid("change the variables", [{ field: "Set", message }]);
}

function write(
  tx: WriteTransaction,
  random: Random,
  Name: string,
  before: Variables | undefined,
  Values: Record<string, string>,
): void {
  const Spec = { Name: before?.Spec.Name ?? Name, Values };
  if (before === undefined) {
    tx.create("variables", { ID: newID(random), Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "", Spec });
  } else if (Object.keys(Values).length === 0) tx.delete("variables", before.ID);
  else tx.update("variables", { ...before, Spec });
}

/** True if a node somewhere may have a value for `name`. */
function isKnown(view: ReadView, name: string): boolean {
  return view.all("variables").some(({ Spec }) => Object.hasOwn(Spec.Values, name)) ||
    view.all("nodes").some(({ Spec }) => Object.hasOwn(Spec.Labels, VARIABLE_LABEL + name));
}

function requireUnused(view: ReadView, removed: readonly string[]): void {
  const problems: FieldProblem[] = [];
  for (const name of removed) {
    if (isKnown(view, name)) continue;
    const users = view.all("services").filter(({ Spec }) =>
      variableNames(view, Spec.TaskTemplate).includes(name)
    );
    if (users.length === 0) continue;
    const services = users.map(({ Spec }) => Spec.Name).join(", ");
    const message = `variable '${name}' is in use by the following service${users.length === 1 ? "" : "s"}: `;
    problems.push({ field: name, message: message + services });
  }
  if (problems.length > 0) throw CoveyError.invalid("change the variables", problems);
}

/** A paused update of the spec stays so: whoever looks into why shall not find it going on. One of variables is mended so. */
function updateUsers(tx: WriteTransaction, names: readonly string[]): VariablesOutcome {
  const outcome: VariablesOutcome = { Updated: [], Paused: [] };
  for (const service of tx.all("services")) {
    const { TaskTemplate, Name } = service.Spec;
    const used = variableNames(tx, TaskTemplate);
    if (isJob(service.Spec) || !names.some((name) => used.includes(name))) continue;
    const differs = tx.find("tasks", "serviceID", service.ID).some((task) =>
      isWanted(task) && hasOtherVariables(tx, TaskTemplate, task)
    );
    if (!differs) continue;
    const isPaused = service.UpdateStatus?.State.endsWith("paused") &&
      service.VariablesVersion?.Index !== service.SpecVersion.Index;
    if (!isPaused) tx.update("services", withNewVariables(service));
    outcome[isPaused ? "Paused" : "Updated"].push(Name);
  }
  return outcome;
}

/** The same spec as another version, so that it is rolled out as an update is. */
function withNewVariables(service: Service): Service {
  const { UpdateStatus: _, ...kept } = service, version = { Index: service.Version.Index };
  // A device that comes to the service in the middle of it gets no older spec.
  const { Spec, SpecVersion } = forNewcomer(service);
  return {
    ...kept,
    SpecVersion: version,
    VariablesVersion: version,
    ...(service.PreviousSpec && { Proven: { Spec, SpecVersion } }),
  };
}

/** Throws `invalid_argument` where `spec` uses a variable that no node can have a value for. */
export function requireVariables(view: ReadView, spec: TaskSpec): void {
  const problems = variableNames(view, spec).filter((name) => !isKnown(view, name)).map((name) => ({
    field: "TaskTemplate",
    message: `variable ${name} not found: neither the fleet nor a site nor a node has it`,
  }));
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
}
