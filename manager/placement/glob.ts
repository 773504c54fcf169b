/** Patterns of `*` (any text) and `?` (any character), without regard to case. */

/**
 * What tells whether a text is like `pattern`, the whole of it. The time is bounded by the product of both lengths, whatever
 * the pattern: it goes back to the last star only.
 */
export function globTest(pattern: string): (text: string) => boolean {
  const wanted = pattern.toLowerCase();
  return (text) => matches(wanted, text.toLowerCase());
}

function matches(pattern: string, text: string): boolean {
  let p = 0, t = 0, star = -1, resume = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      resume = t;
    } else if (pattern[p] === "?" || pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star < 0) return false;
    else {
      p = star + 1;
      t = ++resume;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
