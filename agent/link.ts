/**
 * Makes one file of the agent's modules, which a device runs instead of them: 80 modules take 2 MB more than one
 * (decision 0040). Run by `launch.sh`; prints the program.
 *
 *   deno run --allow-read=ROOT agent/link.ts
 *
 * It knows the few forms of `import` and `export` that this code has, each at the beginning of a line, and refuses
 * what it does not know. The types are taken out by the platform, comments by `squeeze.ts`.
 */
import { stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CoveyError } from "../api/errors.ts";
import { squeeze } from "./squeeze.ts";

/** Each module is a function that makes its exports when first called. Names made here begin with `$`, no others do. */
const ONCE = "const $once = (make) => { let made; return () => made ??= make(); };";

const IMPORT = /^import\s+(?:([\w$]+)\s+|\{([^}]*)\}\s*)from\s+"([^"]+)";/gm;
const EXPORT_FROM = /^export\s+\{([^}]*)\}\s*from\s+"([^"]+)";/gm;
const EXPORT_LIST = /^export\s+\{([^}]*)\};/gm;
const EXPORT_DECLARATION = /^export\s+(?=(?:const|class|(?:async\s+)?function\b\s*\*?)\s+([\w$]+))/gm;
const IMPORT_LATER = /\bimport\("(\.[^"]+)"\)/g;
const LEFT_OVER = /^(?:import|export)\b.*/m;

interface Module {
  name: string;
  /** Unset while it is being read, which shows a circle. */
  exports?: Map<string, string>;
}

class Linker {
  readonly #read: (path: string) => string;
  readonly #modules = new Map<string, Module>();
  readonly #platform = new Map<string, string>();
  readonly #code: string[] = [];

  constructor(read: (path: string) => string) {
    this.#read = read;
  }

  link(entry: string): string {
    const body = this.#body(entry, new Map());
    const imports = [...this.#platform].map(([module, name]) => `import * as ${name} from "${module}";`);
    // The entry is no function, as it may wait at its top.
    return [...imports, ONCE, ...this.#code, `{\n${body}}\n`].join("\n");
  }

  /** The module at `path`, which is linked if it was not yet. */
  #module(path: string, from: string): Required<Module> {
    let module = this.#modules.get(path);
    if (!module) {
      module = { name: `$module${this.#modules.size}` };
      this.#modules.set(path, module);
      const exports = new Map<string, string>();
      const body = this.#body(path, exports);
      const made = [...exports].map(([name, value]) => name === value ? name : `${name}: ${value}`);
      this.#code.push(`const ${module.name} = $once(() => {\n${body}return { ${made.join(", ")} };\n});`);
      module.exports = exports;
    }
    if (!module.exports) throw refuse(from, `${path} imports it in a circle`);
    return module as Required<Module>;
  }

  #body(path: string, exports: Map<string, string>): string {
    const target = (specifier: string) => this.#module(join(dirname(path), specifier), path);
    const body = squeeze(stripTypeScriptTypes(this.#read(path)))
      .replace(IMPORT, (_, whole: string | undefined, names: string | undefined, specifier: string) => {
        const wanted = whole === undefined ? pairs(names!) : [["default", whole] as const];
        const from = specifier.startsWith("node:") ? this.#platformModule(specifier) : undefined;
        if (!from && !specifier.startsWith(".")) throw refuse(path, `it imports the package ${specifier}`);
        const module = from ? undefined : target(specifier);
        for (const [name] of wanted) if (module) exported(module, name, path);
        const list = wanted.map(([name, as]) => name === as ? name : `${name}: ${as}`);
        return `const { ${list.join(", ")} } = ${from ?? `${module!.name}()`};`;
      })
      .replace(EXPORT_FROM, (_, names: string, specifier: string) => {
        const module = target(specifier);
        for (const [name, as] of pairs(names)) {
          exported(module, name, path);
          exports.set(as, `${module.name}().${name}`);
        }
        return "";
      })
      .replace(EXPORT_LIST, (_, names: string) => {
        for (const [name, as] of pairs(names)) exports.set(as, name);
        return "";
      })
      .replace(EXPORT_DECLARATION, (_, name: string) => {
        exports.set(name, name);
        return "";
      })
      .replace(IMPORT_LATER, (_, specifier: string) => `Promise.resolve().then(${target(specifier).name})`)
      .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href));
    const unknown = LEFT_OVER.exec(body)?.[0];
    if (unknown !== undefined) throw refuse(path, `it has the line ${unknown}`);
    return body;
  }

  #platformModule(specifier: string): string {
    const name = this.#platform.get(specifier) ?? `$platform${this.#platform.size}`;
    this.#platform.set(specifier, name);
    return name;
  }
}

function refuse(path: string, problem: string): CoveyError {
  return new CoveyError("unimplemented", `Cannot link ${path}: ${problem}`);
}

function exported(module: Required<Module>, name: string, from: string): void {
  if (!module.exports.has(name)) {
    throw refuse(from, `it imports ${name}, which is not found among the exports`);
  }
}

/** `a, b as c` as names and what they are called here. */
function pairs(list: string): (readonly [string, string])[] {
  return list.split(",").map((each) => each.trim()).filter((each) => each !== "").map((each) => {
    const [name, as] = each.split(/\s+as\s+/);
    return [name!, as ?? name!];
  });
}

/** Links the module at `entry`, an absolute path, and all it imports. Throws `unimplemented` where it cannot. */
export function linkModules(entry: string, read: (path: string) => string): string {
  return new Linker(read).link(entry);
}

if (import.meta.main) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const code = linkModules(join(root, "agent/main.ts"), (path) => Deno.readTextFileSync(path));
  // Another deno is to read it anew, in a process of its own, as it does with the sources.
  await new Blob([`// For Deno ${Deno.version.deno}.\n${code}`]).stream().pipeTo(Deno.stdout.writable);
}
