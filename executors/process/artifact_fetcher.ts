/**
 * Fetches artifacts outside of the agent's sandbox: as a deno task of its own, with the permission to reach one
 * host and to write into its own folder, under the shim and its rules. What it has got stays there until it is
 * whole, also when the agent or the device ends meanwhile.
 */
import { dirname } from "node:path";
import type { Artifact } from "../../api/artifact.ts";
import { artifactName } from "../../api/artifact.ts";
import { CoveyError } from "../../api/errors.ts";
import { RUNTIME_DENO } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { logName } from "./log_reader.ts";
import { NO_DEPENDENCIES } from "../executor.ts";
import { deleteRun, type Device, ProcessController } from "./process_controller.ts";

/** A larger file does not belong onto a device's card by this way. */
export const MAX_ARTIFACT_BYTES = 2 * 1024 ** 3;
/** Bytes a second: what a device fetches beside its work must not take its link, its card and its processor. */
export const FETCH_RATE = 4 * 1024 * 1024;
/** Addresses that one may lead to, one after the other. */
const MAX_REDIRECTS = 5;
/** Of the script: Deno itself, and what is on the way. */
const MEMORY_BYTES = 128 * 1024 * 1024;
/** How the folders of what is being fetched begin; no task's ID does. */
export const FETCH_PREFIX = "fetch-";
/** Digits of a file's sum that name its folder. */
const ID_DIGITS = 32;

/** What the script says. */
interface Result {
  done?: boolean;
  location?: string;
  status?: number;
  tooLarge?: boolean;
  error?: string;
}

/** What may be set, for tests. */
export interface FetchLimits {
  maxBytes: number;
  bytesPerSecond: number;
}

/** Fetches for one executor, one file at a time. */
export class ArtifactFetcher {
  readonly #device: Device;
  readonly #shim: string;
  readonly #limits: FetchLimits;
  #script: string | undefined;

  /** `shim` is the path of `shim.sh`, beside which the script is. */
  constructor(device: Device, shim: string, limits: FetchLimits) {
    this.#device = device;
    this.#shim = shim;
    this.#limits = limits;
  }

  /**
   * Resolves with the path of what was fetched, to be moved away; it is not looked into. What was there before
   * goes on from its end. Rejects with `unavailable` where another attempt may help.
   */
  async fetch(artifact: Artifact, signal: AbortSignal): Promise<string> {
    const id = FETCH_PREFIX + artifact.SHA256.slice(0, ID_DIGITS);
    let url = artifact.URL;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const result = await this.#ask(id, url, signal).catch((thrown) => {
        throw signal.aborted ? thrown : failed(artifact, url, CoveyError.from(thrown).message, thrown);
      });
      if (result.done) return `${this.#device.stateDir}/tasks/${id}/part`;
      if (result.location === undefined) throw problemOf(artifact, url, result, this.#limits.maxBytes);
      url = result.location;
    }
    throw final(artifact, `${artifact.URL} leads to more than ${MAX_REDIRECTS} other addresses`);
  }

  /** Forgets what was fetched of a file. */
  async forget({ SHA256 }: Pick<Artifact, "SHA256">): Promise<void> {
    const id = FETCH_PREFIX + SHA256.slice(0, ID_DIGITS);
    await Deno.remove(`${this.#device.stateDir}/tasks/${id}`, { recursive: true }).catch(() => {});
    await deleteRun(this.#device.stateDir, id);
  }

  /** Runs the script once. */
  async #ask(id: string, url: string, signal: AbortSignal): Promise<Result> {
    const { shim, stateDir } = this.#device, folder = `${stateDir}/tasks/${id}`;
    // Of an agent that ended meanwhile: it goes on from where that one is.
    await shim.signal(id, "KILL");
    await deleteRun(stateDir, id);
    await Deno.remove(`${folder}/result`).catch(() => {});
    // Each run may be another user's; nobody else gets into the folder.
    await Deno.chmod(`${folder}/part`, 0o666).catch(() => {});
    const program = new ProcessController(
      this.#device,
      taskOf(id),
      await this.#request(id, url),
      NO_DEPENDENCIES,
    );
    try {
      await program.start(signal);
      const exit = await program.wait(signal);
      return await this.#read(id, exit.Reason ?? `it ended with ${exit.ExitCode}`);
    } finally {
      await program.terminate(AbortSignal.timeout(10_000)).catch(() => {});
      await program.close();
      await deleteRun(stateDir, id);
    }
  }

  async #read(id: string, otherwise: string): Promise<Result> {
    const { stateDir } = this.#device;
    const text = await Deno.readTextFile(`${stateDir}/tasks/${id}/result`).catch(() => undefined);
    if (text !== undefined) return JSON.parse(text);
    const log = await Deno.readTextFile(`${stateDir}/logs/${logName(id, "stderr")}`).catch(() => "");
    return { error: /error: (?:Uncaught )?(.*)/.exec(log)?.[1] ?? otherwise };
  }

  async #request(id: string, url: string) {
    const { hostname, port, protocol } = new URL(url);
    this.#script ??= await Deno.readTextFile(`${dirname(this.#shim)}/fetch_artifact.js`);
    const { maxBytes, bytesPerSecond } = this.#limits;
    const grants = [
      `Net ${hostname}:${port || (protocol === "https:" ? "443" : "80")}`,
      "Read .",
      "Write .",
      `Heap ${MEMORY_BYTES / 2 / 2 ** 20}`,
    ];
    return {
      id,
      command: [Deno.execPath(), url, String(maxBytes), String(bytesPerSecond)],
      options: { path: "/usr/bin:/bin", memory: String(MEMORY_BYTES) },
      env: [],
      grants: grants.join("\n"),
      script: this.#script,
    };
  }
}

/** What a controller needs to know of a task, for a program that is none. */
function taskOf(id: string): Task {
  return { ID: id, Spec: { Runtime: RUNTIME_DENO, DenoSpec: {}, ForceUpdate: 0 } } as unknown as Task;
}

function problemOf(artifact: Artifact, url: string, result: Result, maxBytes: number): CoveyError {
  const { status, error, tooLarge } = result;
  if (tooLarge) return final(artifact, `${url} has more than ${maxBytes} bytes`);
  if (status === undefined) return failed(artifact, url, error ?? "it says nothing");
  const passes = status >= 500 || [408, 425, 429].includes(status);
  const text = `${url} answers with status ${status}`;
  return passes ? failed(artifact, url, `it answers with status ${status}`) : final(artifact, text);
}

function failed(artifact: Artifact, url: string, why: string, cause?: unknown): CoveyError {
  // What the device's rules refuse is no matter of time.
  const code = cause instanceof CoveyError && !cause.retryable ? "failed_precondition" : "unavailable";
  return new CoveyError(code, `Cannot fetch artifact ${artifactName(artifact)} from ${url}: ${why}`, {
    cause,
  });
}

/** An error that no other attempt mends. */
export function final(artifact: Artifact, why: string): CoveyError {
  return new CoveyError("failed_precondition", `Cannot fetch artifact ${artifactName(artifact)}: ${why}`);
}
