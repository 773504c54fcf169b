/** Deletes older versions of secrets and configs that nothing uses any more. */
import { dependenciesOf, DEPENDENCY_KINDS, type DependencyKind, isSuperseded } from "../../api/dependency.ts";
import type { TaskSpec } from "../../api/service.ts";
import { isTerminal } from "../../api/task_state.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { type Commit, type ReadView, TABLE_OF } from "../store/mod.ts";
import { deleteSeals } from "../task/seals.ts";

/** Milliseconds from what may have been the end of a use to the look: it goes over all tasks, and nobody waits for it. */
const LOOK_PAUSE_MS = 10_000;

/** Keeps what services and their tasks use, the spec that a service can be rolled back to included. */
export class VersionReaper extends LoopComponent {
  /** Versions to be deleted, as KIND/ID. */
  readonly #doomed = this.list("version");
  #due = false;

  constructor(options: ComponentOptions) {
    super("version reaper", options);
  }

  protected resync(): void {
    this.#due = true;
  }

  protected onCommit({ changes }: Commit): boolean {
    const mayEndUse = changes.some(({ table, action, object }) =>
      table === "services" || table === "secrets" || table === "configs" ||
      (table === "tasks" && (action === "remove" || isTerminal(object.Status.State)))
    );
    if (mayEndUse && !this.awaitsLater && superseded(this.options.store).size > 0) {
      this.wakeLater(LOOK_PAUSE_MS, () => this.#due = true);
    }
    return this.#doomed.size > 0;
  }

  protected async run(): Promise<void> {
    const { store } = this.options;
    if (this.#due) { for (const key of unused(store)) this.#doomed.add(key); }
    this.#due = false;
    await this.#doomed.commit(store, (tx, key) => {
      const [kind, id] = key.split("/") as [DependencyKind, string];
      if (!unused(tx).has(key)) return;
      tx.delete(TABLE_OF[kind], id);
      if (kind === "secret") deleteSeals(tx, tx.find("seals", "secretID", id));
    });
  }
}

function superseded(view: ReadView): Set<string> {
  return new Set(
    DEPENDENCY_KINDS.flatMap((kind) =>
      view.all(TABLE_OF[kind]).filter(isSuperseded).map(({ ID }) => `${kind}/${ID}`)
    ),
  );
}

/** The older versions that are needed by no service, and by no task that has not ended, wherever that is. */
function unused(view: ReadView): Set<string> {
  const left = superseded(view);
  const keep = (spec: TaskSpec | undefined) => {
    if (spec) { for (const { Kind, ID } of dependenciesOf(spec)) left.delete(`${Kind}/${ID}`); }
  };
  for (const { Spec, PreviousSpec, Proven } of view.all("services")) {
    for (const spec of [Spec, PreviousSpec, Proven?.Spec]) keep(spec?.TaskTemplate);
  }
  if (left.size === 0) return left;
  for (const task of view.all("tasks")) if (!isTerminal(task.Status.State)) keep(task.Spec);
  return left;
}
