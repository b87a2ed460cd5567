import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { container, launchOf, logOf, Place, script } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

describe("the end of an app", () => {
  it("is Succeeded for exit code 0, after it was reported as started", async () => {
    const open = await place.open();
    const launch = launchOf(script(`console.log("out"); console.error("err")`));
    const instance = await place.beginOne(open, launch);
    const end = await open.reports.end(instance.attemptUid);
    expect(end).toEqual({ outcome: "Succeeded", reason: "None", exitCode: 0, signal: null, message: "" });
    expect(open.reports.callsOf(instance.attemptUid)).toEqual(["started", "ended"]);
    const log = await logOf(open, launch, instance);
    expect(log.split("\n").sort()).toEqual(["", "err", "out"]);
  });

  it.each([
    ["words", `console.error("column id9 is missing"); process.exit(1)`, 1, "column id9 is missing (exit code 1)"],
    ["several lines", `console.error("one\\n\\n  two  \\n"); process.exit(3)`, 3, "one; two (exit code 3)"],
    ["silence", `console.log("out"); process.exit(7)`, 7, "the app exited with code 7 and wrote nothing to stderr"],
    [
      "odd bytes",
      `process.stderr.write(Buffer.from([27,91,51,49,109,97,0,98,255,7,10])); process.exit(1)`,
      1,
      "a b\uFFFD (exit code 1)",
    ],
  ])("is Failed with %s", async (_what, source, exitCode, message) => {
    const open = await place.open();
    const { attemptUid } = await place.beginOne(open, launchOf(script(source)));
    expect(await open.reports.end(attemptUid)).toEqual({
      outcome: "Failed",
      reason: "AppFailed",
      exitCode,
      signal: null,
      message,
    });
  });

  it("bounds its message to the end of what was written", async () => {
    const open = await place.open();
    const source = `for (let i = 0; i < 3000; i++) process.stderr.write("line " + i + "\\n"); process.exitCode = 1`;
    const { attemptUid } = await place.beginOne(open, launchOf(script(source)));
    const { message } = await open.reports.end(attemptUid);
    expect(Buffer.byteLength(message)).toBeLessThan(1100);
    expect(message).toMatch(/line 2998; line 2999 \(exit code 1\)$/);
  });

  it("names the signal", async () => {
    const open = await place.open();
    const { attemptUid } = await place.beginOne(open, launchOf(script(`process.kill(process.pid, "SIGKILL")`)));
    expect(await open.reports.end(attemptUid)).toMatchObject({
      outcome: "Failed",
      reason: "AppFailed",
      exitCode: null,
      signal: "SIGKILL",
      message: "the app was ended by SIGKILL",
    });
  });
});

describe("an app that cannot be started", () => {
  const node = { command: ["node"] };
  const two = [container(node), container(node)];
  const manyVariables = Array.from({ length: 60 }, (_, i) => ({ name: `V${i}`, value: "x".repeat(120_000) }));
  it.each([
    ["an unknown command", launchOf(container({ command: ["nod"] })), 'command "nod" not found'],
    ["an unknown path", launchOf(container({ command: ["./no/such"] })), 'command "./no/such" not found'],
    ["a folder", launchOf(container({ command: ["/usr/bin"] })), 'command "/usr/bin" not found'],
    ["no program", launchOf(container({ command: ["/etc/passwd"] })), 'command "/etc/passwd" is not executable'],
    ["no command", launchOf(container({})), 'app image "app-image" gives no command to run for domain "alice"'],
    [
      "two containers",
      launchOf(container({}), [{ domain: "alice", containers: two }]),
      'the local runner runs one container per party; template "main" has 2',
    ],
    ["a NUL in an argument", launchOf(container({ ...node, args: ["a\0"] })), "argument 1 of the command holds a NUL"],
    [
      "a variable that is too long",
      launchOf(container({ ...node, env: [{ name: "BIG", value: "x".repeat(200_000) }] })),
      "environment variable BIG is 200005 bytes long, the operating system allows 131072",
    ],
    [
      "too many variables",
      launchOf(container({ ...node, env: manyVariables })),
      "the command line and environment together are larger than the operating system allows",
    ],
    [
      "a config file without its template",
      launchOf(container({ ...node, configVolumeMounts: [{ mountPath: "/a", subPath: "a.json" }] })),
      'app image "app-image" has no config template "a.json" for /a',
    ],
    [
      "a config file in place of a folder",
      launchOf(
        container({ ...node, workingDir: "/work", configVolumeMounts: [{ mountPath: "/work", subPath: "a" }] }),
        [{ domain: "alice" }],
        { image: { configTemplates: { a: "" } } },
      ),
      "the app's folder cannot be made: EEXIST",
    ],
  ])("%s", async (_what, launch, sentence) => {
    const open = await place.open();
    const { attemptUid } = await place.beginOne(open, launch);
    const end = await open.reports.end(attemptUid);
    expect(end).toMatchObject({ outcome: "Failed", reason: "AppNotStarted", exitCode: null, signal: null });
    expect(end.message).toContain(sentence);
    expect(open.reports.callsOf(attemptUid)).toEqual(["ended"]);
  });

  it("a program that the system cannot execute", async () => {
    const program = join(place.folder, "program");
    await writeFile(program, "#!/no/such/interpreter\n", { mode: 0o755 });
    const open = await place.open();
    const { attemptUid } = await place.beginOne(open, launchOf(container({ command: [program] })));
    const end = await open.reports.end(attemptUid);
    expect(end).toMatchObject({ outcome: "Failed", reason: "AppNotStarted", exitCode: null });
    expect(end.message).toMatch(/cannot be executed: No such file or directory|not found/);
  });
});
