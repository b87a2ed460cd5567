// Compiles to dist/ and copies what the compiler does not carry: the SQL migrations.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
if (existsSync("src/store/migrations")) cpSync("src/store/migrations", "dist/src/store/migrations", { recursive: true });
