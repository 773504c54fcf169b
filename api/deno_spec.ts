/** What a task of the `deno` executor is. */

import type { Artifact } from "./artifact.ts";

/** Every kind of permission that a spec can name, as `DenoSpec.Permissions` calls it. */
export const DENO_PERMISSIONS = ["Net", "Read", "Write", "Env", "Run", "Sys", "FFI"] as const;

/** One of {@linkcode DENO_PERMISSIONS}. */
export type DenoPermission = typeof DENO_PERMISSIONS[number];

/**
 * What a script may do; what is not named, Deno refuses. `true` is everything of a kind, which the device's policy has to
 * let in by name.
 *
 * - `Net`: `HOST` or `HOST:PORT`, without wildcards
 * - `Read`, `Write`: absolute paths of files or folders; `.` for the task's working folder
 * - `Env`, `Sys`: names of variables, and of what `Deno.permissions` calls `sys`
 * - `Run`, `FFI`: absolute paths of programs and libraries; these are outside of Deno's sandbox once they run
 *
 * @example
 * ```ts
 * const little: DenoPermissions = { Net: ["192.0.2.1:443"], Read: ["."], Write: ["."] };
 * ```
 */
export type DenoPermissions = { [P in DenoPermission]?: string[] | true };

/**
 * A script or WebAssembly module run on the device by the Deno that runs the agent (`Runtime: "deno"`). One of `Source`,
 * `Wasm` and `Module` says what.
 *
 * A module that is run so is imported by a small main module: its `import.meta.main` is false. It reaches nothing but the
 * device's own files (and those only with `Read`): nothing is fetched.
 *
 * @example
 * ```ts
 * const beat: DenoSpec = {
 *   Source: `setInterval(() => fetch("http://192.0.2.1/beat"), 60_000);`,
 *   Permissions: { Net: ["192.0.2.1:80"] },
 * };
 * ```
 */
export interface DenoSpec {
  /** A module in TypeScript or JavaScript. */
  Source?: string;
  /** A WebAssembly module in base64; it is started by its export `_start` or `main`. */
  Wasm?: string;
  /**
   * A module on the device: TypeScript, JavaScript, or WebAssembly if it ends with `.wasm`. Its absolute path, or the name of an
   * artifact.
   */
  Module?: string;
  /** Files that the device fetches before the script starts. */
  Artifacts?: Artifact[];
  Args?: string[];
  /** `NAME=value` entries; nothing is inherited from the agent but PATH. Reading one takes the permission. */
  Env?: string[];
  /** Working directory; default the task's own folder. */
  Dir?: string;
  /** `user`, `uid`, `user:group` or `uid:gid`; default one of the task's own, or the agent's where that is not root. */
  User?: string;
  Permissions?: DenoPermissions;
  /** Name or number; default SIGTERM. */
  StopSignal?: string;
  /** Nanoseconds between the stop signal and SIGKILL; default 10 s. */
  StopGracePeriod?: number;
}
