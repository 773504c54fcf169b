import assert from "node:assert/strict";
import { fetchFailure } from "../../api/fetch_failure.ts";

Deno.test("Fetch failure: the system's own words are found behind the wrapping", async () => {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: "/no/socket" } });
  const thrown = await fetch("http://x/", { client }).catch((error) => error);
  client.close();
  assert.equal(fetchFailure(thrown), "No such file or directory (os error 2)");
  assert.equal(fetchFailure("odd"), "odd");
});
