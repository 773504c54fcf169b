/** Files that a program brings with it: fetched by the device, and known by what is in them. */
import type { Platform } from "./objects.ts";
import { platformMatches } from "./platform.ts";

/**
 * A file for a program. Several of one `Name` are the same file for different platforms: a device takes the first that is
 * for its own.
 *
 * @example
 * ```ts
 * const artifact: Artifact = {
 *   Name: "app",
 *   Platform: { OS: "linux", Architecture: "arm64" },
 *   URL: "https://files.example.com/app/1.2/app-arm64",
 *   SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
 * };
 * ```
 */
export interface Artifact {
  /** Under which it is in the task's folder, and what `Command` may be; default the last part of the URL's path. */
  Name?: string;
  /** Default: any. An empty field stands for any value. */
  Platform?: Partial<Platform>;
  /** `http` or `https`; may have placeholders. */
  URL: string;
  /** Of what is in it: 64 hexadecimal digits. */
  SHA256: string;
  /** Permissions; default 0o555. */
  Mode?: number;
}

/** The name of the file; empty if neither it nor the URL says one. */
export function artifactName({ Name, URL: url }: Pick<Artifact, "Name" | "URL">): string {
  return Name ?? url.replace(/[?#].*$/, "").replace(/^[^:]*:\/\/[^/]*/, "").split("/").at(-1) ?? "";
}

/** What a device of `platform` takes of `artifacts`, and the names of files that are there for other platforms only. */
export function artifactsFor(
  artifacts: readonly Artifact[],
  platform: Platform,
): { chosen: Artifact[]; missing: string[] } {
  const byName = new Map<string, Artifact | undefined>();
  for (const artifact of artifacts) {
    const name = artifactName(artifact), { OS = "", Architecture = "" } = artifact.Platform ?? {};
    const fits = platformMatches([{ OS, Architecture }], platform);
    byName.set(name, byName.get(name) ?? (fits ? artifact : undefined));
  }
  return {
    chosen: [...byName.values()].filter((artifact) => artifact !== undefined),
    missing: [...byName].filter(([, artifact]) => !artifact).map(([name]) => name),
  };
}
