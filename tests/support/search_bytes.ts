/** Looks for a text in all the places where a secret must not be. */

const LATIN1 = new TextDecoder("latin1");

/** The text as it is and in base64, at each of the three places in which it may begin in a group. */
export function forms(word: string): string[] {
  const bytes = new TextEncoder().encode(word);
  const base64 = [0, 1, 2].map((shift) => {
    const padded = new Uint8Array(shift + bytes.length);
    padded.set(bytes, shift);
    return padded.toBase64().slice(4, -4);
  });
  return [word, ...base64];
}

/** Every file below `folder` that holds `word`, in clear or in base64. */
export async function filesWith(folder: string, word: string): Promise<string[]> {
  const found: string[] = [], wanted = forms(word);
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...await filesWith(path, word).catch(() => []));
    else if (isFile) {
      const text = LATIN1.decode(await Deno.readFile(path).catch(() => new Uint8Array()));
      if (wanted.some((form) => text.includes(form))) found.push(path);
    }
  }
  return found;
}

/** The processes that show `word` in their command line or environment. */
export async function processesWith(word: string): Promise<number[]> {
  const found = new Set<number>(), wanted = forms(word);
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    for (const part of ["cmdline", "environ"]) {
      const text = await Deno.readTextFile(`/proc/${name}/${part}`).catch(() => "");
      if (wanted.some((form) => text.includes(form))) found.add(Number(name));
    }
  }
  return [...found];
}
