/** References of a task to secrets and configs. Rules and texts: SwarmKit `controlapi/service.go`. */
import type {
  ConfigReference,
  DependencyKind,
  FileTarget,
  ReferenceExtensions,
  References,
  SecretReference,
} from "../dependency.ts";
import type { FieldProblem } from "../errors.ts";
import { integer, line, list, quoted, record, type Shape, type Shaped, text, unsupported } from "./shape.ts";

/** References of one task: each is a file, and most often a mount, on the device. */
const MAX_REFERENCES = 500;
/** What Docker's field holds: clients write `0600` as 600, too. The permission bits among it are what counts. */
const MAX_MODE = 2 ** 32 - 1;
/** Docker's: everybody may read it, in a place that only the task sees. */
const DEFAULT_MODE = 0o444;
/** Largest number of a user or group; what is larger wraps. */
const MAX_ID = 2 ** 31 - 1;
/** What a shell and the kernel take for the name of a variable. */
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;

const ownerID: Shape<string> = (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined) return undefined;
  if (/^(?:0|[1-9]\d{0,9})$/.test(found) && Number(found) <= MAX_ID) return found;
  problems.push({ field: path, message: `must be a number from 0 to ${MAX_ID}` });
};

const variable: Shape<string> = (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined) return undefined;
  if (!VARIABLE.test(found)) {
    problems.push({ field: path, message: "must be the name of a variable: letters, digits and _" });
  } else if (/^_?covey_/i.test(found)) problems.push({ field: path, message: "COVEY_ names are reserved" });
  else return found;
};

/** What the kernel and container engines know: a name with or without `SIG`, or a number. */
const SIGNAL = /^(?:(?:SIG)?[A-Z][A-Z0-9+-]{1,10}|[1-9]|[1-5]\d|6[0-4])$/;
/** Those end a program, or stop it, whatever it does. */
const ENDS = /^(?:SIG)?(?:KILL|STOP)$|^(?:9|19)$/;

const signal: Shape<string> = (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined) return undefined;
  const name = found.toUpperCase();
  if (SIGNAL.test(name) && !ENDS.test(name)) return name.replace(/^SIG/, "");
  problems.push({
    field: path,
    message: `must be a signal that a program can take: current value is "${quoted(found)}"`,
  });
};

const file = record({ Name: line(), UID: ownerID, GID: ownerID, Mode: integer(0, MAX_MODE) });

const fields = { File: file, Env: variable, Signal: signal };
const secret = record({ ...fields, SecretID: line(), SecretName: line() });
const config = record({
  ...fields,
  ConfigID: line(),
  ConfigName: line(),
  Runtime: unsupported("credential specs are not supported on Linux"),
});

type Checked = ReferenceExtensions & { File?: Shaped<typeof file> };

/** A reference that says where its file goes; undefined for another, with the problem noted. */
function settled(
  kind: DependencyKind,
  { File, Env, Signal }: Checked,
  id: string | undefined,
  name: string | undefined,
  path: string,
  problems: FieldProblem[],
): ReferenceExtensions & { ID: string; Name: string; File: FileTarget } | undefined {
  const before = problems.length;
  const add = (message: string) => void problems.push({ field: path, message });
  if (id === undefined || name === undefined) add(`malformed ${kind} reference`);
  else if (File === undefined) add(`malformed ${kind} reference, no target provided`);
  else if (File.Name === undefined) {
    add(`malformed file ${kind} reference, invalid target file name provided`);
  } else if (File.Name.split("/").includes("..")) {
    problems.push({
      field: `${path}.File.Name`,
      message: `must not lead upwards: current value is "${File.Name}"`,
    });
  }
  if (problems.length > before) return undefined;
  const { Name = "", UID = "0", GID = "0", Mode = DEFAULT_MODE } = File!;
  return {
    ID: id!,
    Name: name!,
    File: { Name, UID, GID, Mode },
    ...(Env !== undefined && { Env }),
    ...(Signal !== undefined && { Signal }),
  };
}

/** Notes files and variables that two references of `found` want. */
function checkTargets(
  kind: DependencyKind,
  found: readonly { Name: string; File: FileTarget; Env?: string }[],
  path: string,
  problems: FieldProblem[],
): void {
  const files = new Map<string, string>();
  found.forEach(({ Name, File }, index) => {
    const other = files.get(File.Name);
    if (other !== undefined) {
      const message = `${kind} references '${other}' and '${Name}' have a conflicting target: '${File.Name}'`;
      problems.push({ field: `${path}[${index}]`, message });
    }
    files.set(File.Name, Name);
  });
}

/** `Secrets` of a container or a process. */
export const secretReferences: Shape<SecretReference[]> = (value, path, problems) => {
  const one: Shape<NonNullable<ReturnType<typeof settled>>> = (each, at, all) => {
    const before = all.length, { SecretID, SecretName, ...rest } = secret(each, at, all) ?? {};
    return all.length > before ? undefined : settled("secret", rest, SecretID, SecretName, at, all);
  };
  const found = list(one, MAX_REFERENCES)(value, path, problems);
  checkTargets("secret", found ?? [], path, problems);
  return found?.map(({ ID, Name, File, ...env }) => ({ File, SecretID: ID, SecretName: Name, ...env }));
};

/** `Configs` of a container or a process. */
export const configReferences: Shape<ConfigReference[]> = (value, path, problems) => {
  const one: Shape<NonNullable<ReturnType<typeof settled>>> = (each, at, all) => {
    const before = all.length, { ConfigID, ConfigName, ...rest } = config(each, at, all) ?? {};
    if (all.length === before && rest.File === undefined) {
      all.push({ field: at, message: "invalid Config: either File or Runtime should be set" });
    }
    return all.length > before ? undefined : settled("config", rest, ConfigID, ConfigName, at, all);
  };
  const found = list(one, MAX_REFERENCES)(value, path, problems);
  checkTargets("config", found ?? [], path, problems);
  return found?.map(({ ID, Name, File, ...env }) => ({ File, ConfigID: ID, ConfigName: Name, ...env }));
};

/** The folders in which a process finds its files hold nothing else, so a file's place is within them. */
export function checkProcessReferences(
  { Secrets = [], Configs = [] }: References,
  path: string,
  problems: FieldProblem[],
): void {
  const lists = [["Secrets", Secrets], ["Configs", Configs]] as const;
  for (const [name, references] of lists) {
    references.forEach(({ File }, index) => {
      if (/^[^/]+$/.test(File.Name) && File.Name !== ".") return;
      const message =
        `a process finds it in a folder, so it must be a name without /: current value is "${File.Name}"`;
      problems.push({ field: `${path}.${name}[${index}].File.Name`, message });
    });
  }
  checkVariables({ Secrets, Configs }, path, problems);
}

/** Notes what of a container's references the engine would write to its disk in clear, or could not place. */
export function checkContainerReferences(
  references: References,
  path: string,
  problems: FieldProblem[],
): void {
  references.Secrets?.forEach(({ Env }, index) => {
    if (Env === undefined) return;
    const message =
      "an engine keeps variables on its disk in clear: let the container read the secret's file";
    problems.push({ field: `${path}.Secrets[${index}].Env`, message });
  });
  checkVariables(references, path, problems);
  checkSignalled(references, path, problems);
}

/** A file that is to change in a running container is a link there to where its files are. */
function checkSignalled(
  container: References & { ReadOnly?: boolean; Mounts?: { Target?: string }[] },
  path: string,
  problems: FieldProblem[],
): void {
  for (const field of ["Secrets", "Configs"] as const) {
    container[field]?.forEach(({ Signal, File: { Name } }, index) => {
      if (Signal === undefined) return;
      const note = (message: string) =>
        void problems.push({ field: `${path}.${field}[${index}].Signal`, message });
      if (container.ReadOnly) note("a container whose root is read-only cannot have the link that it takes");
      const hiding = container.Mounts?.find(({ Target }) =>
        Target && Name.startsWith(`${Target.replace(/\/+$/, "")}/`)
      );
      if (hiding) note(`the mount at ${hiding.Target} would hide the link that it takes`);
    });
  }
}

function checkVariables(
  { Secrets = [], Configs = [] }: References,
  path: string,
  problems: FieldProblem[],
): void {
  const names = new Set<string>();
  for (const { Env } of [...Secrets, ...Configs]) {
    if (Env === undefined) continue;
    if (names.has(Env)) problems.push({ field: path, message: `two references want the variable ${Env}` });
    names.add(Env);
  }
}
