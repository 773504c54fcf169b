import { crc32 } from "node:zlib";
import type { Commit, ReadView } from "../../../manager/store/store.ts";
import { TABLE_NAMES } from "../../../manager/store/tables.ts";
import { Violation } from "../raft/checker.ts";

/** What somebody who follows a manager's changes knows of its objects: their versions. */
export class Replica {
  readonly #versions = new Map<string, number>();
  #digest = 0;

  /** Equal for equal states, whatever the way there. */
  get digest(): number {
    return this.#digest;
  }

  /** Takes over a commit. Throws a violation of WO if it does not follow on what came before. */
  take(name: string, { index, changes }: Commit): void {
    for (const { action, table, object, old } of changes) {
      const key = `${table}/${object.ID}`;
      const known = this.#versions.get(key);
      const expected = action === "create" ? undefined : old?.Version.Index;
      if (known !== expected) {
        throw new Violation(
          "WO",
          `${name} tells at ${index} of ${action} ${key}, last told of as ${known ?? "absent"}`,
        );
      }
      if (known !== undefined) this.#digest = (this.#digest - mark(key, known)) | 0;
      if (action === "remove") this.#versions.delete(key);
      else {
        this.#versions.set(key, object.Version.Index);
        this.#digest = (this.#digest + mark(key, object.Version.Index)) | 0;
      }
    }
  }

  /** Throws a violation of WO unless `state` is what its changes add up to. */
  checkAgainst(name: string, state: ReadView): void {
    let count = 0;
    for (const table of TABLE_NAMES) {
      for (const { ID, Version } of state.all(table)) {
        count++;
        if (this.#versions.get(`${table}/${ID}`) === Version.Index) continue;
        throw new Violation("WO", `${name} has ${table}/${ID} at ${Version.Index}, which it told nobody`);
      }
    }
    if (count === this.#versions.size) return;
    throw new Violation("WO", `${name} has ${count} objects and told of ${this.#versions.size}`);
  }
}

function mark(key: string, version: number): number {
  return crc32(`${key}@${version}`);
}
