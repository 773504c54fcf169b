/** `--secret` and `--config` of `service create` and `service update`: read, and looked up by name. */
import type { Command } from "commander";
import type { DependencyKind, References } from "../api/dependency.ts";
import { CoveyError } from "../api/errors.ts";
import type { ServiceSpec } from "../api/service.ts";
import type { ControlClient } from "./client.ts";
import { collect } from "./context.ts";

/** Docker's, unless the flag says otherwise. */
const DEFAULT_MODE = 0o444;

/** What the flags say of one kind. */
export interface ReferenceChanges {
  add: string[];
  rm: string[];
}

/** Adds the flags, as `--secret` for a new service and as `--secret-add` and `--secret-rm` for one that is there. */
export function addReferenceFlags(command: Command, isNew: boolean): Command {
  for (const kind of ["secret", "config"]) {
    const form = `<${kind}>`,
      text = `${kind} for the tasks: NAME or source=NAME,target=FILE,uid=,gid=,mode=,env=,signal=`;
    if (isNew) command.option(`--${kind} ${form}`, text, collect, []);
    else {
      command.option(`--${kind}-add ${form}`, text, collect, [])
        .option(`--${kind}-rm <name>`, `take a ${kind} from the tasks`, collect, []);
    }
  }
  return command;
}

/** A reference as a flag says it. */
export function parseReference(kind: DependencyKind, text: string) {
  const wrong = (why: string) =>
    new CoveyError("invalid_argument", `Cannot read --${kind}: ${why}, current value is "${text}"`);
  const [first = ""] = text.split(",", 1);
  const pairs = (first.includes("=") ? text : `source=${text}`).split(",").map((pair): [string, string] => {
    const at = pair.indexOf("=");
    if (at < 0) throw wrong("want source=NAME,target=FILE");
    return [pair.slice(0, at).toLowerCase(), pair.slice(at + 1)];
  });
  const known = new Set(["source", "src", "target", "uid", "gid", "mode", "env", "signal"]);
  const unknown = pairs.find(([key]) => !known.has(key));
  if (unknown) throw wrong(`there is no ${unknown[0]}`);
  const fields = new Map(pairs), source = fields.get("source") ?? fields.get("src");
  if (!source) throw wrong("a source must be given");
  const mode = fields.get("mode");
  if (mode !== undefined && !/^0?[0-7]{3,4}$/.test(mode)) throw wrong("a mode is octal, as 0440");
  const env = fields.get("env"), signal = fields.get("signal");
  return {
    source,
    File: {
      Name: fields.get("target") ?? source,
      UID: fields.get("uid") ?? "0",
      GID: fields.get("gid") ?? "0",
      Mode: mode === undefined ? DEFAULT_MODE : parseInt(mode, 8),
    },
    ...(env !== undefined && { Env: env }),
    ...(signal !== undefined && { Signal: signal }),
  };
}

/** `spec` with the references changed; names are looked up, as the API wants an ID and the name. */
export async function withReferences(
  client: ControlClient,
  spec: ServiceSpec,
  changes: Record<DependencyKind, ReferenceChanges>,
): Promise<ServiceSpec> {
  const next = structuredClone(spec), { ContainerSpec, ProcessSpec, Runtime } = next.TaskTemplate;
  const program: References | undefined = Runtime === "process" ? ProcessSpec : ContainerSpec;
  if (!program) return next;
  const secrets = await changed(
    client,
    "secret",
    changes.secret,
    program.Secrets ?? [],
    (each) => each.SecretName,
  );
  const configs = await changed(
    client,
    "config",
    changes.config,
    program.Configs ?? [],
    (each) => each.ConfigName,
  );
  if (secrets) program.Secrets = secrets;
  if (configs) program.Configs = configs;
  return next;
}

async function changed<R extends NonNullable<References["Secrets" | "Configs"]>[number]>(
  client: ControlClient,
  kind: DependencyKind,
  { add, rm }: ReferenceChanges,
  current: R[],
  nameOf: (reference: R) => string,
): Promise<R[] | undefined> {
  if (add.length + rm.length === 0) return undefined;
  const missing = rm.find((name) => !current.some((each) => nameOf(each) === name));
  if (missing !== undefined) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot take ${kind} ${missing} from the tasks: they do not have it`,
    );
  }
  const ids = add.length === 0 ? new Map<string, string>() : await idsByName(client, kind);
  const added = add.map((text) => {
    const { source, ...rest } = parseReference(kind, text), id = ids.get(source);
    if (id === undefined) throw new CoveyError("not_found", `${kind} ${source} not found`, { cause: 404 });
    const named = kind === "secret"
      ? { SecretID: id, SecretName: source }
      : { ConfigID: id, ConfigName: source };
    return { ...named, ...rest } as unknown as R;
  });
  return [...current.filter((each) => !rm.includes(nameOf(each))), ...added];
}

async function idsByName(client: ControlClient, kind: DependencyKind): Promise<Map<string, string>> {
  const all = await client.get<{ ID: string; Spec: { Name: string } }[]>(`/${kind}s`);
  return new Map(all.map(({ ID, Spec }) => [Spec.Name, ID]));
}
