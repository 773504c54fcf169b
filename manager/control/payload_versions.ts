/** Versions of secrets and configs: a new one takes the name over, and the services that use the name follow. */
import type { Clock } from "../../api/clock.ts";
import {
  dependenciesOf,
  type DependencyKind,
  isSuperseded,
  type NodeSeal,
  type PayloadSpec,
  withDependency,
} from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import { isJob, type Service } from "../../api/service.ts";
import { parseNextVersion } from "../../api/validate/mod.ts";
import { type ReadView, type Store, TABLE_OF, type WriteTransaction } from "../store/mod.ts";
import { payloadsNamed } from "./lookup.ts";
import { putSeals, requirePayload } from "./payloads.ts";
import { writeSpec } from "./services.ts";

/** Characters of base64 of a version and the next together: both stand in one entry of the log (1.5 MiB). */
const MAX_PAIR_LENGTH = 1.25 * 1024 * 1024;
/** Characters of a name (SwarmKit). */
const MAX_NAME_LENGTH = 64;

/** The new version, and by name the services that are being updated to it, and the jobs that keep what they have. */
export interface VersionOutcome {
  ID: string;
  Updated: string[];
  Kept: string[];
}

/**
 * Makes `body` the new version of a secret or config, under its name, and starts an update of each service that uses the
 * name. The same bytes again make no other version, but go on with services that were not reached. Throws `not_found`,
 * `failed_precondition` for an older version, `invalid_argument`.
 */
export async function addVersion(
  store: Store,
  { clock, random }: { clock: Clock; random: Random },
  kind: DependencyKind,
  id: string,
  body: unknown,
  seals: readonly NodeSeal[] = [],
): Promise<VersionOutcome> {
  const newest = await store.update((tx) => {
    const made = write(tx, random, kind, id, body);
    putSeals(tx, made.ID, requirePayload(tx, kind, made.ID).Spec, seals);
    return made;
  });
  const outcome: VersionOutcome = { ID: newest.ID, Updated: [], Kept: [] };
  const older = olderVersions(store, kind, newest.Name);
  const users = store.all("services").filter((service) => uses(service, kind, older));
  await store.batch(users, (tx, { ID }) => {
    const service = tx.get("services", ID);
    if (service === undefined || !uses(service, kind, older)) return;
    // Whatever changes of a job, it runs again: that is for somebody to ask for.
    if (isJob(service.Spec)) return void outcome.Kept.push(service.Spec.Name);
    const TaskTemplate = withDependency(service.Spec.TaskTemplate, kind, older, newest);
    writeSpec(tx, clock, service, { ...service.Spec, TaskTemplate });
    outcome.Updated.push(service.Spec.Name);
  });
  return { ...outcome, Updated: [...new Set(outcome.Updated)], Kept: [...new Set(outcome.Kept)] };
}

function write(tx: WriteTransaction, random: Random, kind: DependencyKind, id: string, body: unknown) {
  const table = TABLE_OF[kind], current = requirePayload(tx, kind, id);
  const { Spec: { Name }, Edition: { Of, Number } = { Of: Name, Number: 1 } } = current;
  if (isSuperseded(current)) {
    throw new CoveyError("failed_precondition", `${kind} ${Name} is an older version of ${Of}: update ${Of}`);
  }
  const Spec = parseNextVersion(kind, body, current.Spec);
  if (isSame(Spec, current.Spec)) return { ID: current.ID, Name };
  requireRoom(kind, Spec, current.Spec);
  const oldName = nameOf(tx, kind, Name, Number), ID = newID(random);
  tx.update(table, { ...current, Spec: { ...current.Spec, Name: oldName }, Edition: { Of, Number } });
  const Edition = { Of, Number: Number + 1 };
  tx.create(table, { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "", Spec, Edition });
  return { ID, Name };
}

function isSame(a: PayloadSpec, b: PayloadSpec): boolean {
  return a.Data === b.Data && a.Templating?.Name === b.Templating?.Name;
}

function requireRoom(kind: DependencyKind, next: PayloadSpec, current: PayloadSpec): void {
  const length = next.Data.length + current.Data.length;
  if (length <= MAX_PAIR_LENGTH) return;
  const message = `this version and the one before have ${length} characters of base64 together, at most ` +
    `${MAX_PAIR_LENGTH} are allowed: create another ${kind}`;
  throw CoveyError.invalid(`update the ${kind}`, [{ field: "Data", message }]);
}

/** What the version is called from now on. */
function nameOf(view: ReadView, kind: DependencyKind, name: string, number: number): string {
  const next = `${name}.${number}`;
  if (next.length > MAX_NAME_LENGTH) {
    const message =
      `the name leaves no room for a version: ${next} has more than ${MAX_NAME_LENGTH} characters`;
    throw CoveyError.invalid(`update the ${kind}`, [{ field: "Name", message }]);
  }
  if (payloadsNamed(view, kind, next).length === 0) return next;
  throw new CoveyError("already_exists", `${kind} ${next} already exists`);
}

function olderVersions(view: ReadView, kind: DependencyKind, name: string): Set<string> {
  const versions = view.all(TABLE_OF[kind]).filter((each) => isSuperseded(each) && each.Edition!.Of === name);
  return new Set(versions.map(({ ID }) => ID));
}

function uses({ Spec }: Service, kind: DependencyKind, ids: ReadonlySet<string>): boolean {
  return dependenciesOf(Spec.TaskTemplate).some(({ Kind, ID }) => Kind === kind && ids.has(ID));
}
