/** `covey backup` and `covey restore` */
import type { Command } from "commander";
import {
  BACKUP_PATH,
  BACKUP_TYPE,
  type OldSnapshotView,
  RESTORE_PATH,
  type RestoreResponse,
  SNAPSHOTS_PATH,
} from "../../api/backup.ts";
import { CoveyError } from "../../api/errors.ts";
import { checkBackup, count, readBackupFile, writeBackupFile } from "../backup_file.ts";
import { type Context, withClient } from "../context.ts";
import { exists, firstLineOf } from "../files.ts";
import { type Output, table } from "../output.ts";
import { formatBytes } from "../units.ts";

/** How often a terminal's progress line is drawn again. */
const PROGRESS_MS = 200;

/** Adds the `backup` and `restore` commands. */
export function backupCommands(program: Command, context: Context): void {
  backup(program, context);
  restore(program, context);
}

function backup(program: Command, context: Context): void {
  program.command("backup").description("Save the cluster's whole state, secrets included, while it runs")
    .option("-o, --output <file>", "where to (default: covey-TIME.backup in this folder)")
    .option("--force", "replace an existing file")
    .option("--passphrase-file <file>", "encrypt with the passphrase in this file's first line")
    .option(
      "--snapshot <index>",
      "of an earlier state that this manager has kept, instead of the present one",
    )
    .option("--list-snapshots", "only list the earlier states that this manager has kept")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const { output, signal } = context;
        if (options.listSnapshots) {
          const kept = await client.get<OldSnapshotView[]>(SNAPSHOTS_PATH);
          const rows = kept.map(({ Index, WrittenAt }) => [String(Index), WrittenAt]);
          return output.write(table(["INDEX", "WRITTEN"], rows));
        }
        const query = options.snapshot === undefined ? {} : { snapshot: String(options.snapshot) };
        const path: string = options.output ?? defaultName(output.nowMs());
        const passphrase = await readPassphrase(options.passphraseFile);
        if (!options.force && await exists(path)) {
          throw new CoveyError(
            "already_exists",
            `Cannot write the backup: ${path} exists; name another file or add --force`,
          );
        }
        const progress = new Progress(output, "Saved");
        const { head, end } = await writeBackupFile(client.download(BACKUP_PATH, signal, query), path, {
          passphrase,
          onBytes: (total) => progress.show(total),
        });
        progress.end();
        output.write(
          `${path}: ${end.Objects} objects of cluster ${head.ClusterID} as of index ${head.Index}, ` +
            `${formatBytes((await Deno.stat(path)).size)}\n`,
        );
        output.note(passphrase === undefined ? PLAIN_WARNING : SEALED_WARNING);
      })
    );
}

const SECRETS =
  "The file holds the cluster's secrets: the key of its certificate authority and its join tokens";
const PLAIN_WARNING = `${SECRETS}.\nWhoever reads it can take over every node: keep it as you keep a root ` +
  "password, or encrypt it (--passphrase-file).\n";
const SEALED_WARNING = `${SECRETS}, encrypted. Without the passphrase nobody can restore it.\n`;

function restore(program: Command, context: Context): void {
  program.command("restore").description("Start a saved cluster again on an idle manager, as its only one")
    .argument("<file>", "what `covey backup` wrote")
    .option("--advertise-addr <address>", "HOST[:PORT] that other nodes reach this one at")
    .option("--listen-addr <address>", "HOST:PORT to listen on")
    .option("--passphrase-file <file>", "the passphrase, if the file is encrypted")
    .action((path: string, options, command) =>
      withClient(context, command, async (client) => {
        const { output, signal } = context;
        const passphrase = await readPassphrase(options.passphraseFile);
        // Before anything is sent, so that a bad file touches no manager.
        await checkBackup(readBackupFile(path, passphrase));
        const progress = new Progress(output, "Restored");
        const restored = await client.upload<RestoreResponse>(
          RESTORE_PATH,
          count(readBackupFile(path, passphrase), (total) => progress.show(total)),
          BACKUP_TYPE,
          { ListenAddr: options.listenAddr, AdvertiseAddr: options.advertiseAddr },
          signal,
        );
        progress.end();
        output.write(report(restored));
      })
    );
}

function report({ Objects, ClusterID, CreatedAt, NodeID, Addr, Managers }: RestoreResponse): string {
  const old = Managers.map((manager) => `${manager.NodeID} (${manager.Addr})`).join(", ");
  return `Restored ${Objects} objects of cluster ${ClusterID} as of ${CreatedAt}.\n` +
    `This node (${NodeID}) is its only manager now, at ${Addr}. Start every agent again with\n\n` +
    `    --join ${Addr}\n\n` +
    `on its present state folder: it keeps its identity and its running tasks.\n` +
    `Never start the managers of before on their old state: ${old}.\n`;
}

function readPassphrase(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? Promise.resolve(undefined) : firstLineOf(path, "passphrase");
}

function defaultName(nowMs: number): string {
  return `covey-${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "")}.backup`;
}

/** One line that is drawn again, on a terminal only. */
class Progress {
  readonly #output: Output;
  readonly #verb: string;
  #drawnMs = 0;

  constructor(output: Output, verb: string) {
    this.#output = output;
    this.#verb = verb;
  }

  show(bytes: number): void {
    const now = this.#output.nowMs();
    if (!this.#output.interactive || now - this.#drawnMs < PROGRESS_MS) return;
    this.#drawnMs = now;
    this.#output.note(`\r${this.#verb} ${formatBytes(bytes)}\x1b[K`);
  }

  end(): void {
    if (this.#drawnMs > 0) this.#output.note("\r\x1b[K");
  }
}
