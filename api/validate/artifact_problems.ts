/** What artifacts may say: checked by managers before they are stored, and by the device with placeholders filled in. */
import { type Artifact, artifactName } from "../artifact.ts";
import type { FieldProblem } from "../errors.ts";
import { hasPlaceholder } from "../template.ts";

/** Artifacts of one program, those for other platforms included: each is looked at whenever a task is made ready. */
export const MAX_ARTIFACTS = 50;
/** Rights to read, write and execute; none to become another user. */
export const MAX_MODE = 0o777;

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}$/;

/** Every problem of `artifacts`; `path` is their field's. */
export function artifactProblems(path: string, artifacts: readonly Partial<Artifact>[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const seen = new Set<string>();
  artifacts.forEach((artifact, i) => {
    const bad = (field: string, message: string) =>
      problems.push({ field: `${path}[${i}].${field}`, message });
    const { URL: url = "", SHA256 = "", Name, Platform } = artifact;
    const wrong = urlProblem(url);
    if (wrong) bad("URL", wrong);
    if (!/^[0-9a-f]{64}$/.test(SHA256)) bad("SHA256", `must be 64 digits of 0-9 and a-f: ${SHA256}`);
    const name = artifactName({ URL: url, ...(Name !== undefined && { Name }) });
    if (hasPlaceholder(name)) bad("Name", "must be provided, as the URL's last part has a placeholder");
    else if (!wrong && !NAME.test(name)) {
      bad("Name", `must begin with a letter or digit and have up to 128 of A-Za-z0-9_.+-: ${name}`);
    }
    const key = [name, Platform?.OS ?? "", Platform?.Architecture ?? ""].join("/").toLowerCase();
    if (seen.has(key)) bad("Name", `is there twice for the same platform: ${name}`);
    seen.add(key);
  });
  return problems;
}

/** Why no device could fetch from `url`; what a placeholder stands for is the device's to judge. */
function urlProblem(url: string): string | undefined {
  if (hasPlaceholder(url)) return undefined;
  const parsed = URL.parse(url);
  if (!parsed || !/^https?:$/.test(parsed.protocol)) return `must be a URL of http or https: ${url}`;
  if (parsed.username || parsed.password) return "must not have a password in it: everybody may see it";
  return undefined;
}
