/** What a stack is made of, as the API takes it. */
import type { ServiceSpec } from "../../api/service.ts";

/** The label that says which stack an object belongs to (docker). */
export const STACK_LABEL = "com.docker.stack.namespace";
/** The image as the file names it: one that was pinned since is not taken for a change (docker). */
export const IMAGE_LABEL = "com.docker.stack.image";

/** The body of `POST /networks/create`. */
export interface NetworkSpec {
  Name: string;
  Driver: string;
  Labels: Record<string, string>;
  Options?: Record<string, string>;
  Internal?: boolean;
  Attachable?: boolean;
  EnableIPv6?: boolean;
  IPAM?: { Driver?: string; Config?: { Subnet?: string; Gateway?: string; IPRange?: string }[] };
}

/** A secret or config whose bytes the file names. */
export interface StackPayload {
  Name: string;
  Labels: Record<string, string>;
  /** Where its bytes are; undefined where a driver has them. */
  from: { file: string } | { variable: string } | { content: string } | undefined;
  Driver?: { Name: string; Options?: Record<string, string> };
  Templating?: { Name: string };
}

/** A reference by name: IDs are looked up when it is deployed. */
export interface NamedReference {
  name: string;
  File: { Name: string; UID: string; GID: string; Mode: number };
}

/** A service, with what it references by name. */
export interface StackService {
  spec: ServiceSpec;
  secrets: NamedReference[];
  configs: NamedReference[];
}

/** All of a stack. */
export interface Stack {
  name: string;
  networks: NetworkSpec[];
  /** Networks, secrets and configs of others that have to be there already, by kind. */
  external: { networks: string[]; secrets: string[]; configs: string[] };
  secrets: StackPayload[];
  configs: StackPayload[];
  services: StackService[];
}
