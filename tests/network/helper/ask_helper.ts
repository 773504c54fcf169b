/** The networks' helper, asked in a network namespace of its own. */
import { fileURLToPath } from "node:url";

export const HELPER = fileURLToPath(new URL("../../../network/helper/network.sh", import.meta.url));

/**
 * Runs requests in a network namespace of their own, after `before` and followed by `look`; the answers without their
 * numbers, and what it printed. Tests of two files, which run at a time, are of two nodes.
 */
export async function ask(
  requests: string[],
  look = ":",
  before = ":",
  node = "testnode",
): Promise<{ answers: string[]; seen: string }> {
  const script =
    `${before}; "$0" serve ${node} <"$1"; echo ====; ${look} ; echo leave 1 | "$0" serve ${node} >&2`;
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(
      file,
      requests.map((request, number) => withNumber(request, number + 1)).join(""),
    );
    const { stdout } = await new Deno.Command("unshare", {
      args: [
        "--net",
        "sh",
        "-c",
        `ip link set lo up; ip link add eth0 type veth peer name far; ${script}`,
        HELPER,
        file,
      ],
      stderr: "null",
    }).output();
    const [answers = "", seen = ""] = new TextDecoder().decode(stdout).split("====\n");
    return {
      answers: answers.split("\n").filter(Boolean).map((line) => line.replace(/^\d+ /, "").trim()),
      seen,
    };
  } finally {
    await Deno.remove(file);
  }
}

function withNumber(request: string, number: number): string {
  const [verb, ...words] = request.split(" ");
  return `${verb} ${number} ${words.join(" ")}\n`;
}
