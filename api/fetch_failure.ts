/** Why a `fetch` failed, without the wrapping that hides it: `No such file or directory (os error 2)`. */
export function fetchFailure(thrown: unknown): string {
  let innermost = thrown;
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause;
  const message = innermost instanceof Error ? innermost.message : String(innermost);
  return message.replace(/^error sending request .*?\(.*?\): /, "").replace(/^client error \(\w+\): /, "");
}
