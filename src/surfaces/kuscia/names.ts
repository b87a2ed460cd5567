/** What a call may be asked about at once. */

import { invalid } from "../../core/error.js";

/** A name is a few bytes and what is told of it is many, so a list without a bound asks for any amount of memory. */
export const MAX_NAMES = 1000;

/** The names that a batch asks for. Throws InvalidArgument. */
export function checkNames(field: string, names: readonly string[]): void {
  if (names.length === 0) throw invalid(field, "must not be empty");
  checkChosen(field, names);
}

/** The same where an empty list leaves the choice open. */
export function checkChosen(field: string, names: readonly string[]): void {
  if (names.length > MAX_NAMES) throw invalid(field, `must be at most ${MAX_NAMES}, got ${names.length}`);
  const empty = names.indexOf("");
  if (empty >= 0) throw invalid(`${field}[${empty}]`, "must not be empty");
}
