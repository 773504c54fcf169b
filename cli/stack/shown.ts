/** A plan as it is shown. Pure. */
import { showable } from "../../api/characters.ts";
import { stringifyExact } from "../../api/exact_json.ts";
import type { Change } from "./plan.ts";
import type { Difference } from "./difference.ts";

/** Characters of a value that a line shows. */
const MAX_SHOWN = 80;

const SIGNS = { create: "+", update: "~", remove: "-", keep: " " };

/** The changes, a line each with what differs below it, and a sum in words. */
export function planText(stack: string, changes: readonly Change[]): string {
  const due = changes.filter(({ action }) => action !== "keep"), kept = changes.length - due.length;
  if (due.length === 0) return `Nothing to change in ${stack}: ${kept} services are as the files say\n`;
  const lines = due.flatMap((change) => [
    `${SIGNS[change.action]} ${change.kind} ${change.name}${consequence(change)}`,
    ...change.differences.map(differenceLine),
  ]);
  const count = (action: Change["action"]) => due.filter((change) => change.action === action).length;
  const sum = `${count("create")} to create, ${count("update")} to change, ${count("remove")} to remove`;
  return [...lines, `${sum}, ${kept} unchanged`].map((line) => `${showable(line)}\n`).join("");
}

function consequence(change: Change): string {
  if (change.kind !== "service" || change.action !== "update") return "";
  return change.restarts ? ": its tasks are replaced" : ": its tasks go on";
}

/** A field that differs, as a line below the object that it is of. */
export function differenceLine(difference: Difference): string {
  return `    ${differenceText(difference)}`;
}

function differenceText({ path, before, after }: Difference): string {
  if (before === undefined) return `${path}: set to ${valueText(after)}`;
  if (after === undefined) return `${path}: no longer ${valueText(before)}`;
  return `${path}: ${valueText(before)} -> ${valueText(after)}`;
}

function valueText(value: unknown): string {
  const text = typeof value === "string" ? value : stringifyExact(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}
