import type { FileSystem } from "../../security/mod.ts";

/** A disk in memory whose power can be cut at any operation; a cut write leaves half a file. */
export class MemoryFileSystem implements FileSystem {
  readonly files = new Map<string, Uint8Array>();
  readonly modes = new Map<string, number>();
  /** Operations that change something, so far. */
  changes = 0;
  /** The change that fails, and all after it. */
  failAt = Infinity;

  readFile(path: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.files.get(path));
  }

  writeFile(path: string, data: Uint8Array, mode: number): Promise<void> {
    return this.#change(() => {
      this.files.set(path, data);
      this.modes.set(path, mode);
    }, () => this.files.set(path, data.subarray(0, data.length / 2)));
  }

  rename(from: string, to: string): Promise<void> {
    if (!this.files.has(from)) return Promise.reject(new Deno.errors.NotFound(`rename '${from}' -> '${to}'`));
    return this.#change(() => {
      this.files.set(to, this.files.get(from)!);
      this.modes.set(to, this.modes.get(from)!);
      this.files.delete(from);
    });
  }

  makeFolder(path: string, mode: number): Promise<void> {
    this.modes.set(path, mode);
    return Promise.resolve();
  }

  removeFile(path: string): Promise<void> {
    return this.#change(() => this.files.delete(path));
  }

  syncFolder(): Promise<void> {
    return Promise.resolve();
  }

  text(path: string): string {
    return new TextDecoder().decode(this.files.get(path));
  }

  #change(whole: () => void, part: () => void = () => {}): Promise<void> {
    this.changes++;
    if (this.changes > this.failAt) return Promise.reject(new Error("power is off"));
    if (this.changes === this.failAt) {
      part();
      return Promise.reject(new Error("power was cut"));
    }
    whole();
    return Promise.resolve();
  }
}
