/** Who a process may run as: what is a number must be one that the kernel does not take for another. */

/** Largest number of a user or group; larger ones wrap: 4294967296 is root, and 4294967295 means "no change". */
const MAX_USER_NUMBER = 2 ** 31 - 1;

/** What is wrong with `USER` or `USER:GROUP`, names or numbers; undefined if nothing is, or nothing is said. */
export function userProblem(user: string): string | undefined {
  if (user === "") return undefined;
  // deno-lint-ignore no-control-regex -- those are meant
  if (!/^[^\s:/\x00-\x1f]+(:[^\s:/\x00-\x1f]+)?$/.test(user)) return `must be USER or USER:GROUP: ${user}`;
  const wrong = user.split(":").find((part) =>
    /^[\d+-]/.test(part) && !(/^(0|[1-9]\d{0,9})$/.test(part) && Number(part) <= MAX_USER_NUMBER)
  );
  return wrong && `a number must be 0 to ${MAX_USER_NUMBER}: ${wrong}`;
}
