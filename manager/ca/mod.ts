/** The certificate authority of a manager. */
export * from "./ca_backend.ts";
export * from "./ca_server.ts";
export { RootRotation } from "./root_rotation.ts";
