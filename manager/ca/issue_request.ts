/** Reads the untrusted request of `ca.issueNodeCertificate`. */
import type { IssueNodeCertificateRequest } from "../../api/ca.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { line, oneOf, record, type Shape, textUpTo } from "../../api/validate/mod.ts";
import { MAX_CSR_LENGTH, parseJoinToken } from "../../security/mod.ts";

/** Longest text in a field other than the CSR: a token has 85 characters. */
const MAX_TEXT_LENGTH = 256;

const token: Shape<string> = (value, path, problems) => {
  const found = line(MAX_TEXT_LENGTH)(value, path, problems);
  if (found !== undefined) checkToken(found, problems);
  return found;
};

const requestShape = record({
  CSR: textUpTo(MAX_CSR_LENGTH),
  Token: token,
  Availability: oneOf(["active", "pause", "drain"]),
  ReissueNodeID: line(MAX_TEXT_LENGTH),
}, ["CSR"]);

/** The request with every field checked; all problems are listed at once. */
export function readIssueRequest(request: unknown): IssueNodeCertificateRequest {
  const problems: FieldProblem[] = [];
  const { CSR, ...more } = requestShape(request, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("issue node certificate", problems);
  return { CSR: CSR!, ...more };
}

function checkToken(token: string, problems: FieldProblem[]): void {
  try {
    parseJoinToken(token);
  } catch (error) {
    problems.push({ field: "Token", message: CoveyError.from(error).problems[0]!.message });
  }
}
