/** Secrets and configs: what a task needs besides its program. Both are alike but for who may see them. */
import type { Annotations, Meta } from "./objects.ts";
import type { TaskSpec } from "./service.ts";

/** What the user gave: a name and bytes, in base64. The bytes never change; another version is another object. */
export interface PayloadSpec extends Annotations {
  Data: string;
  /** It is text with placeholders, filled in for each task. */
  Templating?: Templating;
  /** `Data` is encrypted, and only devices can read it: an extension. */
  Sealed?: SealedFor;
}

/** For whom a client has sealed a secret. */
export interface SealedFor {
  /** Names this sealing, hexadecimal: another one of the same secret has another. */
  ID: string;
  /** Labels of the nodes it is meant for. */
  Labels: Record<string, string>;
}

/** The key to a sealed secret, wrapped for one node: see `sealed_secret.ts`. */
export interface NodeSeal {
  NodeID: string;
  /** Of the node's key that it was wrapped for. */
  PublicKeyDigest: string;
  /** Base64. */
  Wrapped: string;
}

/** A seal as stored, under {@linkcode sealID}. `SealID` says which sealing of the secret it opens. */
export interface Seal extends Meta, NodeSeal {
  SecretID: string;
  SealID: string;
}

/** The ID of a secret's seal for a node. */
export function sealID(secretID: string, nodeID: string): string {
  return `${secretID}.${nodeID}`;
}

/** How placeholders are written: as in Go's templates. */
export interface Templating {
  Name: "golang";
}

/**
 * Which version of what name it is, once there have been several (an extension). The newest has the name itself; an older
 * one is called `NAME.NUMBER` for as long as something uses it.
 */
export interface Edition {
  Of: string;
  Number: number;
}

/** Bytes that nobody sees but the tasks that reference it. */
export interface Secret extends Meta {
  Spec: PayloadSpec;
  Edition?: Edition;
}

/** Bytes that whoever may see the cluster may see. */
export interface Config extends Meta {
  Spec: PayloadSpec;
  Edition?: Edition;
}

/** True for a version that another one has followed. */
export function isSuperseded({ Spec, Edition }: Pick<Secret, "Spec" | "Edition">): boolean {
  return Edition !== undefined && Edition.Of !== Spec.Name;
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

/** What a reference may say besides Docker's fields: extensions. */
export interface ReferenceExtensions {
  /** A variable that holds it besides the file. */
  Env?: string;
  /** The signal that tells the running program of a new version in the file, in place of a new task. */
  Signal?: string;
}

/** How a task asks for a secret. */
export interface SecretReference extends ReferenceExtensions {
  File: FileTarget;
  SecretID: string;
  SecretName: string;
}

/** How a task asks for a config. */
export interface ConfigReference extends ReferenceExtensions {
  File: FileTarget;
  ConfigID: string;
  ConfigName: string;
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
  Signal?: string | undefined;
}

/** One thing that tasks depend on, with its bytes in base64, as a node gets it. */
export interface DependencyPayload {
  ID: string;
  Data: string;
  Templating?: Templating;
  /** `Data` is sealed; without `Wrapped` not for this node. */
  Sealed?: { ID: string } & Partial<Omit<NodeSeal, "NodeID">>;
}

/** `spec` with each reference of `kind` to one of the objects `from` leading to the object `to` of the name `name`. */
export function withDependency<S extends Pick<TaskSpec, "ContainerSpec" | "ProcessSpec">>(
  spec: S,
  kind: DependencyKind,
  from: ReadonlySet<string>,
  to: { ID: string; Name: string },
): S {
  const moved = <R extends References>(program: R): R => ({
    ...program,
    ...(kind === "secret" && program.Secrets && {
      Secrets: program.Secrets.map((each) =>
        from.has(each.SecretID) ? { ...each, SecretID: to.ID, SecretName: to.Name } : each
      ),
    }),
    ...(kind === "config" && program.Configs && {
      Configs: program.Configs.map((each) =>
        from.has(each.ConfigID) ? { ...each, ConfigID: to.ID, ConfigName: to.Name } : each
      ),
    }),
  });
  const { ContainerSpec, ProcessSpec } = spec;
  return {
    ...spec,
    ...(ContainerSpec && { ContainerSpec: moved(ContainerSpec) }),
    ...(ProcessSpec && { ProcessSpec: moved(ProcessSpec) }),
  };
}

/** What tasks of `spec` need, in the order of the spec, secrets first. */
export function dependenciesOf(spec: Pick<TaskSpec, "ContainerSpec" | "ProcessSpec">): Dependency[] {
  const { Secrets = [], Configs = [] }: References = spec.ContainerSpec ?? spec.ProcessSpec ?? {};
  return [
    ...Secrets.map(({ SecretID: ID, SecretName: Name, File, Env, Signal }): Dependency => (
      { Kind: "secret", ID, Name, File, Env, Signal }
    )),
    ...Configs.map(({ ConfigID: ID, ConfigName: Name, File, Env, Signal }): Dependency => (
      { Kind: "config", ID, Name, File, Env, Signal }
    )),
  ];
}
