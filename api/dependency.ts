/** Secrets and configs: what a task needs besides its program. Both are alike but for who may see them. */
import type { Annotations, Meta } from "./objects.ts";
import type { TaskSpec } from "./service.ts";

/** What the user gave: a name and bytes, in base64. The bytes never change; another version is another object. */
export interface PayloadSpec extends Annotations {
  Data: string;
  /** It is text with placeholders, filled in for each task. */
  Templating?: Templating;
}

/** How placeholders are written: as in Go's templates. */
export interface Templating {
  Name: "golang";
}

/** Bytes that nobody sees but the tasks that reference it. */
export interface Secret extends Meta {
  Spec: PayloadSpec;
}

/** Bytes that whoever may see the cluster may see. */
export interface Config extends Meta {
  Spec: PayloadSpec;
}

/** Kinds of dependency, as assignments name them. */
export type DependencyKind = "secret" | "config";

/** See {@linkcode DependencyKind}. */
export const DEPENDENCY_KINDS: readonly DependencyKind[] = ["secret", "config"];

/** The file in which a task finds it: numbers of owner and group as text, permission bits. */
export interface FileTarget {
  Name: string;
  UID: string;
  GID: string;
  Mode: number;
}

/** How a task asks for a secret. `Env` (an extension) names a variable that holds it besides the file. */
export interface SecretReference {
  File: FileTarget;
  SecretID: string;
  SecretName: string;
  Env?: string;
}

/** How a task asks for a config. */
export interface ConfigReference {
  File: FileTarget;
  ConfigID: string;
  ConfigName: string;
  Env?: string;
}

/** References as they stand in a container's and a process's spec alike. */
export interface References {
  Secrets?: SecretReference[];
  Configs?: ConfigReference[];
}

/** A reference of either kind. */
export interface Dependency {
  Kind: DependencyKind;
  ID: string;
  Name: string;
  File: FileTarget;
  Env?: string | undefined;
}

/** One thing that tasks depend on, with its bytes in base64, as a node gets it. */
export interface DependencyPayload {
  ID: string;
  Data: string;
  Templating?: Templating;
}

/** What tasks of `spec` need, in the order of the spec, secrets first. */
export function dependenciesOf(spec: Pick<TaskSpec, "ContainerSpec" | "ProcessSpec">): Dependency[] {
  const { Secrets = [], Configs = [] }: References = spec.ContainerSpec ?? spec.ProcessSpec ?? {};
  return [
    ...Secrets.map(({ SecretID, SecretName, File, Env }): Dependency => ({
      Kind: "secret",
      ID: SecretID,
      Name: SecretName,
      File,
      Env,
    })),
    ...Configs.map(({ ConfigID, ConfigName, File, Env }): Dependency => ({
      Kind: "config",
      ID: ConfigID,
      Name: ConfigName,
      File,
      Env,
    })),
  ];
}
