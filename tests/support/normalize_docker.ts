/** Takes out of the stock client's output what differs between any two clusters: IDs, times, tokens, addresses, keys. */

const RULES: [pattern: RegExp, replacement: string][] = [
  [/SWMTKN-1-[0-9a-z]+-[0-9a-z]+/g, "<token>"],
  [/SWMKEY-1-[A-Za-z0-9+/]{43}/g, "<unlock key>"],
  [/-----BEGIN CERTIFICATE-----[^"]*-----END CERTIFICATE-----(?:\\n|\n)?/g, "<certificate>"],
  [/("CertIssuer(?:Subject|PublicKey)": ?)"[^"]*"/g, '$1"<key>"'],
  [/^( *Issuer (?:Subject|Public Key):\s+)\S+$/gm, "$1<key>"],
  [/\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z| \+0000 utc)?/g, "<time>"],
  [/\b(?:\d+|About an?|[Ll]ess than a) (?:second|minute|hour)s?(?: ago)?\b/g, "<age>"],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(:\d+)?\b/g, "<address>$1"],
  [/("Index": ?)\d+/g, "$1<version>"],
  [/\b[0-9a-f]{64}\b/g, "<container>"],
  [/\b[0-9a-z]{25}\b/g, "<id>"],
  // Of twelve characters one ID in fifty has no digit: where IDs stand, any word is one.
  [/\b(?=[a-z]*\d)(?=\d*[a-z])[0-9a-z]{12}\b|^[0-9a-z]{12}(?=:? {2}| \*|$)/gm, "<id>"],
  [/("ID": ?")[0-9a-z]{12}"/g, '$1<id>"'],
  [/("(?:PID|ExitCode)": ?)-?\d+/g, "$1<number>"],
];

/** `output` with IDs, times, tokens and the like replaced by names, and columns and line ends trimmed. */
export function normalizeDocker(output: string): string {
  const replaced = RULES.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), output);
  return replaced.split("\n").map((line) => line.replace(/[ \t]{2,}/g, "  ").trimEnd()).join("\n").trim();
}
