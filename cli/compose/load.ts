/** From compose files to one tree: variables filled in, files merged, `extends` and profiles followed. */
import { CoveyError } from "../../api/errors.ts";
import { merge } from "./merge.ts";
import { Problems } from "./problems.ts";
import { type Mapping, mapScalars, parseTree, type Scalar, type Tree } from "./tree.ts";
import { fillIn, type Lookup, VariableError } from "./variables.ts";

/** How long a chain of `extends` may be. */
const MAX_EXTENDS = 16;

/** Where files come from, and what variables are. */
export interface ComposeInput {
  /** Paths as they were given; `-` is standard input. */
  files: readonly string[];
  /** Throws `CoveyError` for a file that cannot be read. */
  read(path: string): Promise<string>;
  env: Lookup;
  profiles: readonly string[];
  problems: Problems;
  /** Told of each variable that is not set, once. */
  warn(text: string): void;
}

/** The folder of a path, as texts go: what is relative in a file is so to it. */
export function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at < 0 ? "." : at === 0 ? "/" : path.slice(0, at);
}

/** `path` as seen from `folder`. */
export function resolvedFrom(folder: string, path: string): string {
  if (path.startsWith("/") || folder === ".") return path;
  return `${folder}/${path.replace(/^\.\//, "")}`;
}

/** Reads `input.files` into one tree, whose services are those of the profiles asked for. Throws with all problems. */
export async function loadCompose(input: ComposeInput): Promise<Mapping> {
  const loader = new Loader(input);
  let whole: Tree | undefined;
  for (const file of input.files) {
    const tree = await loader.file(file);
    whole = whole === undefined ? tree : merge(whole, tree);
  }
  input.problems.check();
  if (whole?.kind !== "mapping") {
    throw new CoveyError(
      "invalid_argument",
      `Cannot read ${input.files.join(", ")}: want a mapping with services`,
    );
  }
  return withProfiles(whole, input.profiles);
}

class Loader {
  readonly #told = new Set<string>();
  /** Each file is read once, however often something extends it. */
  readonly #files = new Map<string, Tree>();

  constructor(readonly input: ComposeInput) {}

  /** One file with variables filled in and `extends` resolved. */
  async file(path: string): Promise<Tree> {
    const tree = await this.#filled(path);
    if (tree.kind !== "mapping") return tree;
    const services = tree.entries.get("services");
    if (services?.kind !== "mapping") return tree;
    const entries = new Map<string, Tree>();
    for (const name of services.entries.keys()) entries.set(name, await this.#service(path, name, []));
    return { ...tree, entries: new Map([...tree.entries, ["services", { ...services, entries }]]) };
  }

  async #filled(path: string): Promise<Tree> {
    const known = this.#files.get(path);
    if (known) return known;
    const { problems, read } = this.input;
    const tree = mapScalars(parseTree(path, await read(path), problems), (scalar) => this.#fillIn(scalar));
    this.#files.set(path, tree);
    return tree;
  }

  #fillIn(scalar: Scalar): Scalar {
    if (scalar.text === null || !scalar.text.includes("$")) return scalar;
    try {
      return { ...scalar, text: fillIn(scalar.text, this.input.env, (name) => this.#missing(name)) };
    } catch (thrown) {
      if (!(thrown instanceof VariableError)) throw thrown;
      this.input.problems.add(scalar.at, "", thrown.message);
      return scalar;
    }
  }

  #missing(name: string): void {
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.input.warn(`The variable ${name} is not set: it is taken as empty`);
  }

  /** A service with what it extends below it. `chain` is what led here. */
  async #service(path: string, name: string, chain: readonly string[]): Promise<Tree> {
    const whole = await this.#filled(path),
      services = whole.kind === "mapping" && whole.entries.get("services");
    const service = services && services.kind === "mapping" ? services.entries.get(name) : undefined;
    if (service === undefined) {
      throw new CoveyError("invalid_argument", `Cannot extend ${name} of ${path}: there is no such service`);
    }
    if (service.kind !== "mapping") return service;
    const link = `${path}#${name}`;
    if (chain.includes(link) || chain.length > MAX_EXTENDS) {
      const circle = [...chain, link].map((each) => each.split("#")[1]).join(" extends ");
      throw new CoveyError("invalid_argument", `Cannot extend ${name} of ${path}: ${circle} without an end`);
    }
    const { extends: base, ...rest } = Object.fromEntries(service.entries);
    if (base === undefined) return service;
    const { file, of } = this.#baseOf(base, path, name);
    const own: Mapping = { ...service, entries: new Map(Object.entries(rest)) };
    return of === undefined ? own : merge(await this.#service(file, of, [...chain, link]), own);
  }

  #baseOf(tree: Tree, path: string, name: string): { file: string; of: string | undefined } {
    if (tree.kind === "scalar") return { file: path, of: tree.text ?? undefined };
    const text = (key: string) => {
      const value = tree.kind === "mapping" ? tree.entries.get(key) : undefined;
      return value?.kind === "scalar" ? value.text ?? undefined : undefined;
    };
    const file = text("file"), of = text("service");
    if (of === undefined) {
      this.input.problems.add(
        tree.at,
        `services.${name}.extends`,
        "want the name of a service, or file and service",
      );
    }
    return { file: file === undefined ? path : resolvedFrom(folderOf(path), file), of };
  }
}

/** Without the services whose profiles were not asked for. */
function withProfiles(whole: Mapping, asked: readonly string[]): Mapping {
  const services = whole.entries.get("services");
  if (services?.kind !== "mapping") return whole;
  const entries = [...services.entries].filter(([, service]) => {
    const profiles = service.kind === "mapping" ? service.entries.get("profiles") : undefined;
    if (profiles?.kind !== "list" || profiles.items.length === 0) return true;
    return profiles.items.some((item) => item.kind === "scalar" && asked.includes(item.text ?? ""));
  });
  return {
    ...whole,
    entries: new Map([...whole.entries, ["services", { ...services, entries: new Map(entries) }]]),
  };
}
