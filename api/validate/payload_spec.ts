/** Normalizes and validates the specs of secrets and configs (SwarmKit `controlapi/secret.go`, `config.go`). */
import type { DependencyKind, PayloadSpec } from "../dependency.ts";
import { CoveyError, type FieldProblem } from "../errors.ts";
import { payloadProblem } from "../task_template.ts";
import { base64, base64Bytes, base64Length } from "./base64.ts";
import { checkSize, isObject, oneOf, record, type Shape, stringMap, text, unsupported } from "./shape.ts";
import { sealedShape } from "./seals.ts";

/** SwarmKit's: a secret has fewer bytes than this. */
const MAX_SECRET_BYTES = 500 * 1024;
/** SwarmKit's: a config has fewer bytes than this. Together with its labels it fits into an entry of the log (1.5 MiB). */
const MAX_CONFIG_BYTES = 1000 * 1024;
const MAX_BYTES: Record<DependencyKind, number> = { secret: MAX_SECRET_BYTES, config: MAX_CONFIG_BYTES };
/** What an entry of the log has room for beside the largest config. */
const MAX_LABELS_BYTES = 64 * 1024;

/** Characters of a name (SwarmKit). */
const MAX_NAME_LENGTH = 64;
const NAME = /^[a-zA-Z0-9]+(?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/;
const NAME_TEXT =
  "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be " +
  "[a-zA-Z0-9]";

const name: Shape<string> = (value, path, problems) => {
  const found = text(value, path, problems);
  if (found === undefined || (found.length <= MAX_NAME_LENGTH && NAME.test(found))) return found;
  problems.push({ field: path, message: NAME_TEXT });
};

/** An object without a name is a mistake to Docker, too. */
const secretDriver: Shape<never> = (value, path, problems) => {
  if (isObject(value) && Object.keys(value).length === 0) {
    problems.push({ field: path, message: "secret driver must have a name" });
    return undefined;
  }
  return unsupported("secret drivers are not supported")(value, path, problems);
};

function shapeOf(kind: DependencyKind) {
  return record({
    Name: name,
    Labels: stringMap,
    // Twice as long as it may be: what is somewhat too long is told in Docker's words.
    Data: base64(2 * base64Length(MAX_BYTES[kind])),
    Driver: kind === "secret" ? secretDriver : unsupported("config drivers are not supported"),
    Templating: record({
      Name: oneOf(["golang"], (name) => `template driver "${name}" is not supported`),
      Options: unsupported("template drivers have no options"),
    }),
    Sealed: kind === "secret" ? sealedShape : unsupported("everybody may read a config, so none is sealed"),
  });
}

const SHAPES = { secret: shapeOf("secret"), config: shapeOf("config") };

/** What an update reads: of all else Docker says nothing, whatever stands there. */
function updateShapeOf(kind: DependencyKind) {
  return record({ Name: text, Labels: stringMap, Data: base64(2 * base64Length(MAX_BYTES[kind])) });
}

const UPDATE_SHAPES = { secret: updateShapeOf("secret"), config: updateShapeOf("config") };

/** The spec of a new secret or config. Throws `invalid_argument` with every problem, of which none quotes the data. */
export function parsePayloadSpec(kind: DependencyKind, body: unknown): PayloadSpec {
  const problems: FieldProblem[] = [];
  const { Name, Labels = {}, Data = "", Templating, Sealed } = SHAPES[kind](body, "", problems) ?? {};
  const isWrong = (field: string) => problems.some((each) => each.field === field);
  if (Name === undefined && !isWrong("Name")) {
    problems.push({ field: "Name", message: "name must be provided" });
  }
  const bytes = base64Bytes(Data), maxBytes = MAX_BYTES[kind];
  if (!isWrong("Data") && (bytes < 1 || bytes >= maxBytes)) {
    const message = `${kind} data must be larger than 0 and less than ${maxBytes} bytes`;
    problems.push({ field: "Data", message });
  }
  const isTemplate = Templating?.Name !== undefined;
  if (isTemplate && Sealed !== undefined) {
    const message = "a sealed secret is no template: no manager can see what it names";
    problems.push({ field: "Templating", message });
  }
  checkSize(Labels, "Labels", MAX_LABELS_BYTES, problems);
  if (isTemplate && problems.length === 0) checkTemplate(kind, Data, problems);
  if (problems.length > 0) throw CoveyError.invalid(`use the ${kind} spec`, problems);
  return {
    Name: Name!,
    Labels,
    Data,
    ...(isTemplate && { Templating: { Name: "golang" as const } }),
    ...(Sealed && { Sealed }),
  };
}

/** The spec of the version after `current`: what `body` leaves out is as it was. Throws as {@linkcode parsePayloadSpec}. */
export function parseNextVersion(kind: DependencyKind, body: unknown, current: PayloadSpec): PayloadSpec {
  const { Name, Labels, Templating, Sealed } = current;
  if (Sealed !== undefined && !(isObject(body) && isObject(body.Sealed))) {
    const problem = { field: "Sealed", message: "it is sealed, and a new version has to be sealed too" };
    throw CoveyError.invalid(`update the ${kind}`, [problem]);
  }
  return parsePayloadSpec(kind, { Labels, Templating, ...(isObject(body) ? body : {}), Name });
}

/** The data of `current` sealed anew, if `body` holds any. Throws as {@linkcode parsePayloadSpec}. */
export function parseSealing(
  body: unknown,
  current: PayloadSpec,
): Pick<PayloadSpec, "Data" | "Sealed"> | undefined {
  if (!isObject(body) || body.Data === undefined) return undefined;
  const { Data, Sealed } = parseNextVersion("secret", body, current);
  return { Data, ...(Sealed && { Sealed }) };
}

/** Notes a template that no task could ever be given, without a word of a secret. */
function checkTemplate(kind: DependencyKind, data: string, problems: FieldProblem[]): void {
  let why: string | undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.fromBase64(data),
    );
    why = payloadProblem(text);
  } catch {
    why = "it is not UTF-8";
  }
  if (why === undefined) return;
  const message = kind === "secret" ? "a placeholder cannot be filled in" : why;
  problems.push({ field: "Data", message: `it is no template: ${message}` });
}

/** What an update of `current` may change: its labels. Throws `invalid_argument` where more differs, or is wrong. */
export function parsePayloadUpdate(kind: DependencyKind, body: unknown, current: PayloadSpec): PayloadSpec {
  const problems: FieldProblem[] = [];
  const { Name, Labels = {}, Data } = UPDATE_SHAPES[kind](body, "", problems) ?? {};
  if (problems.length === 0 && (Name !== current.Name || (Data !== undefined && Data !== current.Data))) {
    problems.push({ field: "Spec", message: "only updates to Labels are allowed" });
  }
  checkSize(Labels, "Labels", MAX_LABELS_BYTES, problems);
  if (problems.length > 0) throw CoveyError.invalid(`update the ${kind}`, problems);
  return { ...current, Labels };
}
