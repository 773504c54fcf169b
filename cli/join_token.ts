/** Where `swarm join` gets its token from: a token among the flags is there for everybody on the machine to read. */
import { CoveyError } from "../api/errors.ts";
import { TOKEN_VARIABLE } from "../api/handed_token.ts";
import type { Context } from "./context.ts";
import { firstLineOf } from "./files.ts";
import { firstInputLine } from "./input_line.ts";

/** The token of `--token-file`, `--token` (`-`: a line of standard input) or COVEY_JOIN_TOKEN. */
export async function readJoinToken(
  { token, tokenFile }: { token?: string; tokenFile?: string },
  context: Context,
): Promise<string> {
  if (token !== undefined && tokenFile !== undefined) {
    throw usage("--token and --token-file exclude each other");
  }
  if (tokenFile?.startsWith("SWMTKN-")) throw usage("--token-file wants a file, not the token");
  if (tokenFile !== undefined) return (await firstLineOf(tokenFile, "token")).trim();
  const found = token === "-"
    ? await firstInputLine(context, "Join token")
    : token ?? context.env(TOKEN_VARIABLE);
  if (found) return found.trim();
  throw usage(
    `no token; give --token-file FILE, a line of standard input (--token -), or the variable ${TOKEN_VARIABLE}`,
  );
}

function usage(problem: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot join: ${problem}`);
}
