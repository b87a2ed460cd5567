import { defineConfig } from "vitest/config";

// Vitest reads the default export of this file, and of the reporter.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: "./test/global-setup.ts",
    reporters: ["default", "./test/line-reporter.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
