/** Mutual-TLS streams of CBOR frames, and their in-memory twin. */
export * from "./types.ts";
export type { Limits } from "./limits.ts";
export { CBORReader } from "./cbor_decode.ts";
export { CBORWriter } from "./cbor_encode.ts";
export { createRouter } from "./router.ts";
export { formatAddress, type HostPort, parseAddress } from "./address.ts";
export { listenTLS, type TLSListenOptions } from "./tls_listener.ts";
export { tlsDialer, type TLSDialerOptions } from "./tls_dialer.ts";
export {
  type LinkState,
  type MemoryDialerOptions,
  type MemoryListenOptions,
  type MemoryNetwork,
  memoryNetwork,
  type VerifyMemoryPeer,
} from "./memory_network.ts";
