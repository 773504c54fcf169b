/** The beginning of URLs of what is asked over a Unix socket. */

/**
 * An address that is nobody's (RFC 5737), as the connection goes to the socket anyway. A name would be looked up all the same, in
 * one of the few threads that also read and write files: without a name server everything waits for them for seconds.
 */
export const SOCKET_ORIGIN = "http://192.0.2.1";
