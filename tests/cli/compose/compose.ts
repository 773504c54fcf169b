/** Compose files in memory, read as the command line reads them. */
import { convert } from "../../../cli/compose/convert.ts";
import { folderOf, loadCompose } from "../../../cli/compose/load.ts";
import { Problems } from "../../../cli/compose/problems.ts";
import type { Stack, StackService } from "../../../cli/compose/stack.ts";

/** What reading one or several files may be given. */
export interface Given {
  files?: Record<string, string>;
  env?: Record<string, string>;
  profiles?: string[];
  ignoreUnsupported?: boolean;
  warn?: (text: string) => void;
}

/** The stack `demo` of a file at /work/compose.yml, or of those given, in their order. */
export async function stackOf(text: string, given: Given = {}): Promise<Stack> {
  const files = new Map(Object.entries({ "/app/compose.yml": text, ...given.files }));
  const listed = [...files.keys()].filter((path) => path.endsWith(".yml") && !path.includes("base"));
  const problems = new Problems(given.ignoreUnsupported), env = (name: string) => given.env?.[name];
  const read = (path: string) => {
    const found = files.get(path);
    return found === undefined ? Promise.reject(new Error(`no file ${path}`)) : Promise.resolve(found);
  };
  const tree = await loadCompose({
    files: listed,
    read,
    env,
    profiles: given.profiles ?? [],
    problems,
    warn: given.warn ?? (() => {}),
  });
  const folderAt = ({ file }: { file: string }) => folderOf(file);
  const stack = convert(tree, { stack: "demo", env, folderAt, problems, envFiles: files });
  problems.check();
  return stack;
}

/** The only service of a file whose service `web` has these lines. */
export async function serviceOf(lines: string, given: Given = {}, top = ""): Promise<StackService> {
  const body = lines.trim().split("\n").map((line) => `    ${line}`).join("\n");
  const { services } = await stackOf(`services:\n  web:\n    image: busybox\n${body}\n${top}`, given);
  return services[0]!;
}
