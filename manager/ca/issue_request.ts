/** Reads the untrusted request of `ca.issueNodeCertificate`. */
import type { IssueNodeCertificateRequest } from "../../api/ca.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { MAX_CSR_LENGTH, parseJoinToken } from "../../security/mod.ts";

const ACTION = "issue node certificate";
/** Longest text in a field other than the CSR: a token has 85 characters. */
const MAX_TEXT_LENGTH = 256;
const AVAILABILITIES = ["active", "pause", "drain"] as const;

/** The request with every field checked; all problems are listed at once. */
export function readIssueRequest(request: unknown): IssueNodeCertificateRequest {
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw CoveyError.invalid(ACTION, [{ field: "", message: "the request is not an object" }]);
  }
  const fields = request as Record<string, unknown>;
  const problems: FieldProblem[] = [];
  const csr = readText(fields, "CSR", MAX_CSR_LENGTH, problems);
  if (fields.CSR === undefined) problems.push({ field: "CSR", message: "is required" });
  const token = readText(fields, "Token", MAX_TEXT_LENGTH, problems);
  if (token !== undefined) checkToken(token, problems);
  const reissueNodeID = readText(fields, "ReissueNodeID", MAX_TEXT_LENGTH, problems);
  const availability = AVAILABILITIES.find((known) => known === fields.Availability);
  if (fields.Availability !== undefined && !availability) {
    problems.push({ field: "Availability", message: `must be one of ${AVAILABILITIES.join(", ")}` });
  }
  if (problems.length > 0) throw CoveyError.invalid(ACTION, problems);
  return {
    CSR: csr!,
    ...(token !== undefined && { Token: token }),
    ...(availability && { Availability: availability }),
    ...(reissueNodeID !== undefined && { ReissueNodeID: reissueNodeID }),
  };
}

function readText(
  fields: Record<string, unknown>,
  field: string,
  maxLength: number,
  problems: FieldProblem[],
): string | undefined {
  const value = fields[field];
  if (value === undefined) return undefined;
  if (typeof value !== "string") problems.push({ field, message: `must be text, it is ${typeof value}` });
  else if (value.length > maxLength) {
    problems.push({ field, message: `has ${value.length} characters, at most ${maxLength} are allowed` });
  } else return value;
  return undefined;
}

function checkToken(token: string, problems: FieldProblem[]): void {
  try {
    parseJoinToken(token);
  } catch (error) {
    problems.push({ field: "Token", message: CoveyError.from(error).problems[0]!.message });
  }
}
