// Compiles to dist/ and copies what the compiler does not carry: the SQL migrations, and the right to execute the command.
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
if (existsSync("src/store/migrations")) cpSync("src/store/migrations", "dist/src/store/migrations", { recursive: true });
// `npx muster` makes it executable only when it first sees it.
chmodSync("dist/src/cli/muster.js", 0o755);
