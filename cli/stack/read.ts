/** Reading what a stack needs: compose files with what they name, and what the cluster has. */
import type { DependencyKind } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { convert, envFilesIn } from "../compose/convert.ts";
import { folderOf, loadCompose } from "../compose/load.ts";
import { Problems } from "../compose/problems.ts";
import { STACK_LABEL, type StackPayload } from "../compose/stack.ts";
import { MAX_FILE_BYTES, type Place } from "../compose/tree.ts";
import type { Context } from "../context.ts";
import { MAX_PAYLOAD_BYTES, readAll } from "../files.ts";
import type { NetworkView, PayloadBody, PayloadView, Present, ReadyStack } from "./plan.ts";

/** How compose files are read. */
export interface ComposeFlags {
  composeFile: string[];
  profile: string[];
  ignoreUnsupported?: boolean;
}

/** Names that the API takes in a network's or service's name. */
const STACK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** The stack of the files, and the bytes of its secrets and configs. Warnings go to `context.output.note`. */
export async function readStack(name: string, flags: ComposeFlags, context: Context): Promise<ReadyStack> {
  if (!STACK_NAME.test(name)) {
    const want = "letters, digits, _ . and -, a letter or digit first";
    throw new CoveyError("invalid_argument", `Cannot use "${name}" as the name of a stack: want ${want}`);
  }
  const [first] = flags.composeFile;
  if (first === undefined) throw new CoveyError("invalid_argument", "Cannot read a stack: want -c FILE");
  const problems = new Problems(flags.ignoreUnsupported);
  const note = (text: string) => context.output.note(`${text}\n`);
  const env = (variable: string) => context.env(variable);
  const read = async (path: string) => new TextDecoder().decode(await readAll(path, MAX_FILE_BYTES));
  const tree = await loadCompose({
    files: flags.composeFile,
    profiles: flags.profile,
    read,
    env,
    problems,
    warn: note,
  });
  // What is relative in a file of the command line is so to the first of them, as docker has it.
  const folderAt = ({ file }: Place) => folderOf(flags.composeFile.includes(file) ? first : file);
  const envFiles = await readEnvFiles(envFilesIn(tree, { folderAt, problems: new Problems() }), read);
  const stack = convert(tree, { stack: name, env, folderAt, problems, envFiles });
  problems.check();
  for (const ignored of problems.ignored) note(`Left out: ${ignored}`);
  return {
    stack,
    secrets: await Promise.all(stack.secrets.map((each) => bodyOf("secret", each, context))),
    configs: await Promise.all(stack.configs.map((each) => bodyOf("config", each, context))),
  };
}

async function readEnvFiles(
  files: { path: string; required: boolean }[],
  read: (path: string) => Promise<string>,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { path, required } of files) {
    try {
      found.set(path, await read(path));
    } catch (thrown) {
      if (required) throw thrown;
    }
  }
  return found;
}

async function bodyOf(
  kind: DependencyKind,
  { Name, Labels, from, Driver, Templating }: StackPayload,
  context: Context,
): Promise<PayloadBody> {
  const Data = from && (await bytesOf(kind, Name, from, context)).toBase64();
  return {
    Name,
    Labels,
    ...(Data !== undefined && { Data }),
    ...(Driver && { Driver }),
    ...(Templating && { Templating }),
  };
}

async function bytesOf(
  kind: DependencyKind,
  name: string,
  from: NonNullable<StackPayload["from"]>,
  context: Context,
): Promise<Uint8Array> {
  if ("file" in from) return await readAll(from.file, MAX_PAYLOAD_BYTES);
  if ("content" in from) return new TextEncoder().encode(from.content);
  const value = context.env(from.variable);
  if (value !== undefined) return new TextEncoder().encode(value);
  throw new CoveyError(
    "invalid_argument",
    `Cannot read ${kind} ${name}: the variable ${from.variable} is not set`,
  );
}

/** What the cluster has of the stack, and what the stack may name. */
export async function readPresent(client: ControlClient, stack: string): Promise<Present> {
  const filters = { label: [`${STACK_LABEL}=${stack}`] };
  const [services, secrets, configs, networks] = await Promise.all([
    client.get<ServiceView[]>("/services", { filters }),
    client.get<PayloadView[]>("/secrets"),
    client.get<PayloadView[]>("/configs"),
    client.get<NetworkView[]>("/networks"),
  ]);
  return { services, secrets, configs, networks };
}
