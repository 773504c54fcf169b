import assert from "node:assert/strict";
import { takeJoinToken, TOKEN_VARIABLE, withoutTokens } from "../../api/handed_token.ts";

Deno.test("Join token: once taken, it is in no environment that a child could inherit", () => {
  Deno.env.set(TOKEN_VARIABLE, " SWMTKN-1-a-b\n");
  assert.equal(takeJoinToken(), "SWMTKN-1-a-b");
  assert.equal(Deno.env.has(TOKEN_VARIABLE), false);
  assert.equal(takeJoinToken(), undefined);
});

Deno.test("Join token: is left out of what others have said", () => {
  assert.equal(withoutTokens("Unexpected argument 'SWMTKN-1-x1-y_2'."), "Unexpected argument 'SWMTKN-…'.");
});
