/** How a follower's certificate authority reaches the leader's. */
import { CA_METHODS, type IssueNodeCertificateResponse } from "../../api/ca.ts";
import type { ForwardToLeader } from "../ca/mod.ts";
import type { LeaderLink } from "./leader_link.ts";

/**
 * For `CAServerOptions.leader`. Only the CA decides what is passed on and for whom: a call with neither a node nor a token
 * would count as this manager's own renewal, so there must be no other way to make one. Issuing twice for one key gives the
 * same node, so a call may be repeated.
 */
export function caLeader(link: LeaderLink): () => ForwardToLeader | undefined {
  const forward: ForwardToLeader = (request, node) =>
    link.run<IssueNodeCertificateResponse | undefined>({
      local: () => undefined,
      remote: ({ connection }) =>
        connection.call(CA_METHODS.issueNodeCertificate, request, node ? { forwardedFor: node } : {}),
      idempotent: true,
    });
  return () => link.isLeader ? undefined : forward;
}
