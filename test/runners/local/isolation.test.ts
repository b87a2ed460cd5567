import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { container, launchOf, logOf, Place, script } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

describe.skipIf(process.getuid?.() !== 0)("domains on a server that is root", () => {
  it("cannot reach each other's folders, nor what the server keeps", async () => {
    const open = await place.open();
    const spy = script(`
      const fs = require("node:fs"), path = require("node:path");
      const own = process.env.MUSTER_DOMAIN_DATA, root = process.env.MUSTER_ROOT;
      const attempt = (f) => { try { return f() ?? "done"; } catch (error) { return error.code; } };
      fs.writeFileSync(own + "/own", "mine");
      console.log(JSON.stringify({
        uid: process.getuid(), groups: process.getgroups().length,
        bob: attempt(() => fs.readdirSync(path.join(own, "../../bob/data"))),
        bobFile: attempt(() => fs.readFileSync(path.join(own, "../../bob/data/own"))),
        domains: attempt(() => fs.readdirSync(path.join(own, "../.."))),
        attempts: attempt(() => fs.readdirSync(path.join(root, "../.."))),
        launch: attempt(() => fs.readFileSync(path.join(root, "../launch.json"))),
        log: attempt(() => fs.readdirSync(path.join(root, "../log"))),
        above: attempt(() => fs.writeFileSync(path.join(root, "../exit.json"), "{}")),
        supervisor: attempt(() => process.kill(process.ppid, "SIGKILL")),
      }));`);
    const launch = launchOf(spy, [{ domain: "bob" }, { domain: "alice" }]);
    const [bob, alice] = await place.begin(open, launch);
    if (bob === undefined || alice === undefined) throw new Error("two instances were to start");
    for (const { attemptUid } of [bob, alice]) {
      expect(await open.reports.end(attemptUid)).toMatchObject({ outcome: "Succeeded" });
    }
    const seen = JSON.parse(await logOf(open, launch, alice));
    expect(seen).toMatchObject({
      bob: "EACCES",
      bobFile: "EACCES",
      domains: "EACCES",
      attempts: "EACCES",
      launch: "EACCES",
      log: "EACCES",
      above: "EACCES",
      supervisor: "EPERM",
    });
    const data = await stat(join(place.folder, "domains", "bob", "data"));
    expect(data.mode & 0o777).toBe(0o700);
    expect([data.uid, seen.uid]).not.toContain(0);
    expect(data.uid).not.toBe(seen.uid);

    // The number of a domain stays its own over restarts.
    await open.runner.close();
    const again = await place.open();
    const later = launchOf(script(`console.log(process.getuid())`), [{ domain: "carol" }, { domain: "alice" }]);
    const [carol, aliceAgain] = await place.begin(again, later);
    if (carol === undefined || aliceAgain === undefined) throw new Error("two instances were to start");
    for (const { attemptUid } of [carol, aliceAgain]) await again.reports.end(attemptUid);
    expect(await logOf(again, later, aliceAgain)).toBe(`${seen.uid}\n`);
    expect([`${seen.uid}\n`, `${data.uid}\n`]).not.toContain(await logOf(again, later, carol));
  });

  it("are said to be not isolated where an image cannot be read by others", async () => {
    const image = join(place.folder, "private-image");
    await mkdir(image, { mode: 0o700 });
    await writeFile(join(image, "app.cjs"), "console.log(process.getuid())");
    const open = await place.open();
    const app = container({ command: ["node", "$(APP_IMAGE_DIR)/app.cjs"] });
    const launch = launchOf(app, [{ domain: "alice" }, { domain: "bob" }], { image: { directory: image } });
    for (const instance of await place.begin(open, launch)) {
      expect(await open.reports.end(instance.attemptUid)).toMatchObject({ outcome: "Succeeded" });
      expect(await logOf(open, launch, instance)).toBe("0\n");
    }
    expect(open.logged.filter((line) => line.includes("not isolated"))).toHaveLength(1);
  });

  it("are told how to hand over a data folder that belongs to someone else", async () => {
    const data = join(place.folder, "of-root");
    await mkdir(data);
    const open = await place.open({ domains: new Map([["alice", { dataDirectory: data }]]) });
    const instance = await place.beginOne(open, launchOf(script(`console.log(process.getuid())`)));
    await open.reports.end(instance.attemptUid);
    expect(open.logged.filter((line) => line.endsWith(` ${data}`))).toEqual([
      expect.stringMatching(/hand it over with: chown -R (\d+):\1 /),
    ]);
    expect((await stat(data)).uid).toBe(0);
  });
});
