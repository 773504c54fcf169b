/** What a task has to talk to the agent beside it: where, and a token that says which task it is. */
import type { Mount } from "../../api/container_spec.ts";
import { RUNTIME_CONTAINER, RUNTIME_PROCESS } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { systemFileSystem, writeFileAtomically } from "../../security/file_system.ts";

/** Label of a service whose tasks ask for it. */
const LABEL = "covey.local";
/** Where a container finds the socket's folder. */
const FOLDER_IN_CONTAINER = "/run/covey";
/** The socket's name in its folder: an agent that is started anew makes another one there. */
const APP_SOCKET = "agent.sock";
const KEY_FILE = "local.key";
const KEY_BYTES = 32;

/** Hands out passes, and reads them. */
export class Passes {
  readonly #key: CryptoKey;
  readonly #folder: string;
  readonly #services: readonly RegExp[];

  private constructor(key: CryptoKey, folder: string, services: readonly RegExp[]) {
    this.#key = key;
    this.#folder = folder;
    this.#services = services;
  }

  /** `services` are the names and patterns that the device's own list lets in; `folder` is the state folder. */
  static async open(folder: string, services: readonly string[]): Promise<Passes> {
    const usage = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", await keyIn(folder), usage, false, ["sign"]);
    return new Passes(key, `${folder}/local/app`, services.map(patternOf));
  }

  /** Folder of the socket for tasks. */
  get folder(): string {
    return this.#folder;
  }

  /** The socket for tasks. */
  get socket(): string {
    return `${this.#folder}/${APP_SOCKET}`;
  }

  /** `task` with a pass in its variables, if it asks for one and the device lets it. */
  async outfit(task: Task): Promise<Task> {
    const { Name, Labels } = task.ServiceAnnotations;
    const asks = Object.hasOwn(Labels, LABEL) && Labels[LABEL] === "true";
    if (!asks || !this.#services.some((service) => service.test(Name))) return task;
    const { Spec } = task, token = await this.token(task.ID);
    const env = (socket: string) => [`COVEY_LOCAL_SOCKET=${socket}`, `COVEY_LOCAL_TOKEN=${token}`];
    if (Spec.Runtime === RUNTIME_PROCESS && Spec.ProcessSpec) {
      const Env = [...Spec.ProcessSpec.Env ?? [], ...env(this.socket)];
      return { ...task, Spec: { ...Spec, ProcessSpec: { ...Spec.ProcessSpec, Env } } };
    }
    if (Spec.Runtime !== RUNTIME_CONTAINER || !Spec.ContainerSpec) return task;
    const Env = [...Spec.ContainerSpec.Env ?? [], ...env(`${FOLDER_IN_CONTAINER}/${APP_SOCKET}`)];
    const mount: Mount = { Type: "bind", Source: this.#folder, Target: FOLDER_IN_CONTAINER, ReadOnly: true };
    const Mounts = [...Spec.ContainerSpec.Mounts ?? [], mount];
    return { ...task, Spec: { ...Spec, ContainerSpec: { ...Spec.ContainerSpec, Env, Mounts } } };
  }

  /** What a task shows: its ID, and that it is from here. */
  async token(taskID: string): Promise<string> {
    const bytes = new Uint8Array(
      await crypto.subtle.sign("HMAC", this.#key, new TextEncoder().encode(taskID)),
    );
    return `${taskID}.${bytes.toHex()}`;
  }

  /** The task that `token` is of; undefined if it is from nowhere. */
  async taskOf(token: string): Promise<string | undefined> {
    const taskID = token.slice(0, Math.max(0, token.lastIndexOf(".")));
    if (taskID === "") return undefined;
    const wanted = await this.token(taskID);
    let difference = wanted.length ^ token.length;
    // In a time that does not tell how much of it was right.
    for (let i = 0; i < wanted.length; i++) difference |= wanted.charCodeAt(i) ^ (token.charCodeAt(i) || 0);
    return difference === 0 ? taskID : undefined;
  }
}

/** `*` stands for any characters. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`);
}

async function keyIn(folder: string): Promise<Uint8Array<ArrayBuffer>> {
  const kept = await systemFileSystem.readFile(`${folder}/${KEY_FILE}`);
  if (kept?.length === KEY_BYTES) return new Uint8Array(kept);
  const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  await writeFileAtomically(systemFileSystem, folder, KEY_FILE, key, 0o600);
  return key;
}
