/** The join token as a launcher hands it on: in the environment, as everybody can read a process's flags. */

/** Says where the token is, on a device and between a launcher and its program alike. */
export const TOKEN_VARIABLE = "COVEY_JOIN_TOKEN";

/** The token, taken out of the environment so that no child inherits it; undefined if none was handed on. */
export function takeJoinToken(): string | undefined {
  const token = Deno.env.get(TOKEN_VARIABLE)?.trim();
  Deno.env.delete(TOKEN_VARIABLE);
  return token || undefined;
}

/** `text` without the secret of any join token in it. */
export function withoutTokens(text: string): string {
  return text.replace(/SWMTKN-[\w-]*/g, "SWMTKN-…");
}
