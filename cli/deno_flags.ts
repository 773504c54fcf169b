/** Flags of `service create --executor deno`: the file that is sent with the service, and what it may do. */
import { Buffer } from "node:buffer";
import type { Command } from "commander";
import { DENO_PERMISSIONS, type DenoPermissions, type DenoSpec } from "../api/deno_spec.ts";

/** Values of the flags. */
export interface DenoFlags {
  allowNet?: string;
  allowRead?: string;
  allowWrite?: string;
  allowEnv?: string;
  allowRun?: string;
  allowSys?: string;
  allowFfi?: string;
}

/** Adds the flags to a command. */
export function addDenoFlags(command: Command): Command {
  return command
    .option("--allow-net <hosts>", "with --executor deno: HOST[:PORT][,...] to talk to; * for all")
    .option("--allow-read <paths>", "paths to read, . for the working folder; * for all")
    .option("--allow-write <paths>", "paths to write; * for all")
    .option("--allow-env <names>", "variables to read; * for all")
    .option("--allow-run <paths>", "programs to run; * for all")
    .option("--allow-sys <names>", "facts of the system to read, such as hostname; * for all")
    .option("--allow-ffi <paths>", "libraries to load; * for all");
}

/** What runs: the module in `file`, whose content is `bytes`. */
export function denoModule(file: string, bytes: Uint8Array): Pick<DenoSpec, "Source" | "Wasm"> {
  if (file.endsWith(".wasm")) return { Wasm: Buffer.from(bytes).toString("base64") };
  return { Source: new TextDecoder().decode(bytes) };
}

/** The spec of the module in `file`, whose content is `bytes`. */
export function denoSpec(file: string, bytes: Uint8Array, args: string[], flags: DenoFlags): DenoSpec {
  const Permissions = permissions(flags);
  return {
    ...denoModule(file, bytes),
    ...(args.length > 0 && { Args: args }),
    ...(Object.keys(Permissions).length > 0 && { Permissions }),
  };
}

function permissions(flags: DenoFlags): DenoPermissions {
  const given = DENO_PERMISSIONS.map((kind) => {
    const flag = `allow${kind[0]}${kind.slice(1).toLowerCase()}` as keyof DenoFlags;
    return [kind, flags[flag]] as const;
  });
  return Object.fromEntries(
    given.filter(([, value]) => value !== undefined).map(([kind, value]) => [
      kind,
      value === "*" ? true : value!.split(","),
    ]),
  );
}
