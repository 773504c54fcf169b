/** Responses whose whole body is text at hand: whoever writes them need not ask them for it, nor for their headers. */

/** A body, and what it is. */
export interface WholeText {
  contentType: string;
  /** Which together are the body. */
  parts: readonly string[];
}

/** Where a response has it. A map beside it, with an entry for every response, would keep the garbage collector busy. */
const WHOLE = Symbol("whole text");
type WithText = Response & { [WHOLE]?: WholeText };

/** Notes what `response` was made of; it must have no headers but its content type. */
export function withText(response: Response, text: WholeText): Response {
  (response as WithText)[WHOLE] = text;
  return response;
}

/** What is known of a response. */
export function textOf(response: Response): WholeText | undefined {
  return (response as WithText)[WHOLE];
}
