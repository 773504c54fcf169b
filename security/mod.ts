/** Certificates, join tokens, node identity and time that can be trusted. */
export * from "./check_database.ts";
export * from "./certificate.ts";
export * from "./certificate_request.ts";
export * from "./clock_floor.ts";
export * from "./file_system.ts";
export * from "./identity_store.ts";
export * from "./join_cluster.ts";
export * from "./join_token.ts";
export * from "./key_pair.ts";
export * from "./node_identity.ts";
export * from "./renew_late.ts";
export * from "./renewer.ts";
export * from "./root_ca.ts";
export * from "./root_tls_info.ts";
export * from "./verify_peer_chain.ts";
export * from "./remote_ca.ts";
