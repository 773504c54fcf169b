/** What a deno spec may say: checked by managers before it is stored, and by the device before it is run. */
import { DENO_PERMISSIONS, type DenoPermission, type DenoSpec } from "../deno_spec.ts";
import { artifactName } from "../artifact.ts";
import type { FieldProblem } from "../errors.ts";
import { artifactProblems } from "./artifact_problems.ts";

/** Characters of a module that travels in a spec: every task carries it, on managers' disks and over metered links. */
export const MAX_SOURCE_LENGTH = 64 * 1024;

/** Values of all permissions together; each is a flag on Deno's command line and a look at the device's policy. */
const MAX_PERMISSIONS = 200;

const isPath = (text: string) =>
  /^\/[^\n,]*$/.test(text) && !/\/(\/|\.\.?\/)/.test(`${text}/`) && text !== "/";
const isFileOrFolder = (text: string) => text === "." || text === "/" || isPath(text);
const isName = (text: string) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(text);
/** A host with characters of a name or an address, which no wildcard, list or socket's path has. */
const isHost = (text: string) =>
  /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(:\d{1,5})?$/.test(text) &&
  Number(/(?<=[\w.\]]:)\d+$/.exec(text)?.[0] ?? 0) <= 65535;

const PATH_WORDS = "must be an absolute path without comma, //, . and ..";

const KINDS: Record<DenoPermission, { fits: (value: string) => boolean; wanted: string }> = {
  Net: { fits: isHost, wanted: "must be HOST or HOST:PORT without wildcards" },
  Read: { fits: isFileOrFolder, wanted: `${PATH_WORDS}, or . for the working folder` },
  Write: { fits: isFileOrFolder, wanted: `${PATH_WORDS}, or . for the working folder` },
  Env: { fits: isName, wanted: "must be the name of a variable" },
  Run: { fits: isPath, wanted: PATH_WORDS },
  Sys: { fits: isName, wanted: "must be a name such as hostname" },
  FFI: { fits: isPath, wanted: PATH_WORDS },
};

/** Every problem of `spec` that is Deno's; `path` is its field's. */
export function denoProblems(path: string, spec: DenoSpec): FieldProblem[] {
  return [
    ...artifactProblems(`${path}.Artifacts`, spec.Artifacts ?? []),
    ...moduleProblems(path, spec),
    ...permissionProblems(`${path}.Permissions`, spec.Permissions ?? {}),
  ];
}

function moduleProblems(path: string, { Source, Wasm, Module, Artifacts = [] }: DenoSpec): FieldProblem[] {
  const given = [Source, Wasm, Module].filter((each) => each !== undefined && each !== "");
  if (given.length !== 1) {
    const message = `exactly one of Source, Wasm and Module must be provided, current are ${given.length}`;
    return [{ field: path, message }];
  }
  for (const [name, text] of [["Source", Source], ["Wasm", Wasm]] as const) {
    if (text !== undefined && text.length > MAX_SOURCE_LENGTH) {
      const message = `has ${text.length} characters, at most ${MAX_SOURCE_LENGTH} are allowed`;
      return [{ field: `${path}.${name}`, message }];
    }
  }
  if (Wasm !== undefined && !/^AGFzb[A-Za-z0-9+/]*={0,2}$/.test(Wasm)) {
    return [{ field: `${path}.Wasm`, message: "must be a WebAssembly module in base64" }];
  }
  if (Artifacts.some((artifact) => artifactName(artifact) === Module)) return [];
  if (Module && !isPath(Module)) return [{ field: `${path}.Module`, message: `${PATH_WORDS}: ${Module}` }];
  return [];
}

function permissionProblems(path: string, permissions: NonNullable<DenoSpec["Permissions"]>): FieldProblem[] {
  const problems: FieldProblem[] = [];
  let count = 0;
  for (const kind of DENO_PERMISSIONS) {
    const named = permissions[kind];
    if (named === undefined || named === true) continue;
    count += named.length;
    for (const [i, value] of named.entries()) {
      if (KINDS[kind].fits(value)) continue;
      problems.push({
        field: `${path}.${kind}[${i}]`,
        message: `${KINDS[kind].wanted}: current value is "${value}"`,
      });
    }
  }
  if (count > MAX_PERMISSIONS) {
    problems.push({ field: path, message: `has ${count} values, at most ${MAX_PERMISSIONS} are allowed` });
  }
  return problems;
}
