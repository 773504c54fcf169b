/** Responses whose whole body is a text at hand: whoever writes them need not ask them for it, nor for their headers. */

/** A body, and what it is. */
export interface WholeText {
  contentType: string;
  text: string;
}

const texts = new WeakMap<Response, WholeText>();

/** Notes what `response` was made of; it must have no headers but its content type. */
export function withText(response: Response, text: WholeText): Response {
  texts.set(response, text);
  return response;
}

/** What is known of a response. */
export function textOf(response: Response): WholeText | undefined {
  return texts.get(response);
}
