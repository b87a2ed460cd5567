/** Where this package's own files are, from the compiled program as from the sources. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

export function packageFile(path: string): string {
  return join(packageRoot(), path);
}

export function packageVersion(): string {
  const { version }: { version: string } = JSON.parse(readFileSync(packageFile("package.json"), "utf8"));
  return version;
}
