/**
 * Loaded before every file of `deno task test`: a test that hangs must not keep the others, and the log must name it.
 * Deno then reports the test as cancelled, and the rest of its file with it.
 *
 * @module
 */

/** The slowest test takes three minutes where two cores are shared by others. */
const MAX_TEST_MS = 600_000;

let timer: ReturnType<typeof setTimeout> | undefined;

Deno.test.beforeEach(() => {
  timer = setTimeout(() => {
    throw new Error(`Cannot go on: the test named cancelled was not over after ${MAX_TEST_MS / 1000} s`);
  }, MAX_TEST_MS);
});

Deno.test.afterEach(() => clearTimeout(timer));
