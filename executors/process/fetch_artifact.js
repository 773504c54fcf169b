// Fetches a file into `part`, from where that ends, and says in `result` what came of it. Run by the shim with the permission to
// reach one host: where that leads to another one, whoever asked asks again. Arguments: the URL, the most bytes that the file may
// have, and bytes a second.
const [url, maxBytes, rate] = [Deno.args[0], Number(Deno.args[1]), Number(Deno.args[2])];
// Nothing arrives for so long: the connection is as good as gone.
const STALL_MS = 60_000;
const say = (result) => Deno.writeTextFileSync("result", JSON.stringify(result));

async function fetchIt() {
  const file = Deno.openSync("part", { write: true, create: true });
  let size = file.statSync().size;
  const stall = new AbortController();
  let timer = setTimeout(() => stall.abort(), STALL_MS);
  const headers = { "accept-encoding": "identity", ...(size > 0 && { range: `bytes=${size}-` }) };
  const response = await fetch(url, { headers, redirect: "manual", signal: stall.signal });
  const { status } = response, location = response.headers.get("location");
  if ([301, 302, 303, 307, 308].includes(status) && location) {
    return { location: new URL(location, url).href };
  }
  // There is nothing behind what is here already.
  if (status === 416 && size > 0) return { done: true };
  if (status !== 200 && status !== 206) return { status };
  if (status === 200 || !response.headers.get("content-range")?.startsWith(`bytes ${size}-`)) {
    if (status === 206) return { error: "it sent another part than was asked for" };
    file.truncateSync(0);
    size = 0;
  }
  file.seekSync(0, Deno.SeekMode.End);
  const began = performance.now();
  let got = 0;
  for await (const chunk of response.body ?? []) {
    clearTimeout(timer);
    if (size + got + chunk.length > maxBytes) return { tooLarge: true };
    for (let at = 0; at < chunk.length;) at += file.writeSync(chunk.subarray(at));
    got += chunk.length;
    const early = got / rate * 1000 - (performance.now() - began);
    if (early > 0) await new Promise((go) => setTimeout(go, early));
    timer = setTimeout(() => stall.abort(), STALL_MS);
  }
  file.syncDataSync();
  return { done: true };
}

// What went wrong with the network is in the error's cause.
const reasonOf = (error) => error.cause instanceof Error ? reasonOf(error.cause) : error.message;

say(
  await fetchIt().catch((error) => ({
    error: error.name === "AbortError" ? "nothing arrives any more" : reasonOf(error),
  })),
);
Deno.exit(0);
