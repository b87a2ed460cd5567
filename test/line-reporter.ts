import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Ends the output with one line that a program can read: `N passed, N failed`, and `, N skipped` when any were.
 * What fails outside a test (a file that does not load, a failing hook, an unhandled rejection) counts as failed.
 */
export default class LineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let failedTests = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        // A test is still pending when the run was broken off before its turn.
        count[state === "pending" ? "skipped" : state]++;
        if (state === "failed") failedTests++;
      }
      if (failedTests === 0 && module.state() === "failed") count.failed++;
    }
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
    process.stdout.write(`${count.passed} passed, ${count.failed} failed${skipped}\n`);
  }
}
