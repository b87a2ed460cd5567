/** Finding the program that a command names, as execvp would, but with a sentence where it is not there. */

import { access, constants, stat } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";

export type Located =
  | { readonly found: true; readonly file: string }
  /** `message` says what is wrong with the command. */
  | { readonly found: false; readonly message: string };

/** The absolute path of a command. With a slash it is a path, relative to `workingFolder`; else `path` is searched. */
export async function locateCommand(command: string, path: string, workingFolder: string): Promise<Located> {
  const shown = JSON.stringify(command);
  const candidates = command.includes("/")
    ? [resolve(workingFolder, command)]
    : path.split(delimiter).filter((folder) => folder !== "").map((folder) => join(folder, command));
  let seen = false;
  for (const file of candidates) {
    const isFile = await stat(file).then((found) => found.isFile(), () => false);
    if (!isFile) continue;
    seen = true;
    if (await access(file, constants.X_OK).then(() => true, () => false)) return { found: true, file };
  }
  return { found: false, message: `command ${shown} ${seen ? "is not executable" : "not found"}` };
}

/** A program of the system, null where it is not installed. */
export async function locateProgram(name: string, path: string): Promise<string | null> {
  const located = await locateCommand(name, path, "/");
  return located.found ? located.file : null;
}
