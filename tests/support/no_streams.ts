/** For managers of tests that open no streams into tasks. */
export function noStreams(): never {
  throw new Error("not part of this test");
}
