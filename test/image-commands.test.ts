/** What app images may execute: asked when an image is made or changed, and when a job is to run it. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../src/core/dag.js";
import type { AppImage } from "../src/core/image.js";
import type { ImageCommands } from "../src/core/image-commands.js";
import { createImages, type Images } from "../src/images.js";
import { createJobs, type Jobs } from "../src/jobs.js";
import { MASTER } from "./core/fixtures.js";
import { IMAGE, jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const imagesUnder = (commands: ImageCommands): Images => createImages({ pool: store.pool, commands });

function jobsUnder(everywhere: ImageCommands, byDomain: Readonly<Record<string, ImageCommands>> = {}): Jobs {
  const imageRules = { everywhere, byDomain: new Map(Object.entries(byDomain)) };
  return createJobs({ ...store, limits: DEFAULT_LIMITS, domains: null, manualDomains: new Set(), imageRules });
}

/** One template for the role `guest`, one for every other; in the second container of the last the words are args. */
function imageOf(name: string, guest: string, other: string): AppImage {
  const [template] = IMAGE.deployTemplates;
  const [container] = template?.containers ?? [];
  if (!template || !container) throw new Error("the fixture has no container");
  const runs = (command: readonly string[], args: readonly string[] = []) => ({ ...container, command, args });
  return {
    ...IMAGE,
    name,
    deployTemplates: [
      { ...template, name: "guest", role: "guest", containers: [runs([guest, "-x"])] },
      { ...template, name: "other", role: "", containers: [runs(["node"]), runs([], [other])] },
    ],
  };
}

let made = 0;
/** Alice is guest, bob is not. */
async function submit(jobs: Jobs, image: string): Promise<string> {
  const jobId = `job-${(made += 1)}`;
  const party = { resources: null, bandwidthLimits: [] };
  const parties = [
    { ...party, domain: "alice", role: "guest" },
    { ...party, domain: "bob", role: "" },
  ];
  const definition = jobNamed(jobId);
  const tasks = definition.tasks.slice(0, 1).map((task) => ({ ...task, appImage: image, parties }));
  try {
    await jobs.submit({ definition: { ...definition, tasks }, surface: "test" }, MASTER);
    return "created";
  } catch (error) {
    expect(error).toMatchObject({ reason: "Forbidden" });
    await expect(jobs.query(jobId, MASTER)).rejects.toMatchObject({ reason: "NotFound" });
    return (error as Error).message;
  }
}

describe("an image that is made through the API", () => {
  test("may have the listed commands only, or none at all", async () => {
    const listed = imagesUnder(new Set(["node", "python3"]));
    await listed.create(imageOf("listed", "node", "python3"), MASTER);
    await expect(listed.create(imageOf("bash", "node", "bash"), MASTER)).rejects.toMatchObject({
      reason: "Forbidden",
      message: 'deploy_templates[1].containers[1].command: "bash" is not among the commands that this server allows',
    });
    await expect(listed.query("bash", MASTER)).rejects.toMatchObject({ reason: "NotFound" });
    const { name, image, deployTemplates } = imageOf("listed", "/bin/node", "node");
    await expect(listed.update({ name, image, deployTemplates }, MASTER)).rejects.toMatchObject({ reason: "Forbidden" });
    await expect(imagesUnder("none").create(imageOf("none", "node", "node"), MASTER)).rejects.toMatchObject({
      message: "this server takes app images from its own files only",
    });
  });

  test("that was made before the rule is not run any more", async () => {
    await imagesUnder("any").create(imageOf("older", "node", "bash"), MASTER);
    expect(await submit(jobsUnder("any"), "older")).toBe("created");
    const refusal = 'tasks[0].parties[1]: this server does not allow the command "bash" (app image "older")';
    expect(await submit(jobsUnder(new Set(["node"])), "older")).toBe(refusal);
    expect(await submit(jobsUnder("none"), "older")).toBe(
      `tasks[0].parties[0]: this server runs app images from the server's own files only (app image "older")`,
    );
  });
});

describe("a domain's own rule", () => {
  test("counts for what its parties would run, and for no other's", async () => {
    await imagesUnder("any").create(imageOf("mixed", "bash", "python3"), MASTER);
    const node = new Set(["node"]);
    const both = new Set(["node", "python3"]);
    expect(await submit(jobsUnder("any", { bob: both, carol: "none" }), "mixed")).toBe("created");
    expect(await submit(jobsUnder("any", { bob: node }), "mixed")).toBe(
      'tasks[0].parties[1]: domain "bob" does not allow the command "python3" (app image "mixed")',
    );
    expect(await submit(jobsUnder("any", { alice: "none" }), "mixed")).toBe(
      `tasks[0].parties[0]: domain "alice" runs app images from the server's own files only (app image "mixed")`,
    );
  });

  test("narrows the rule for everywhere and does not widen it", async () => {
    await imagesUnder("any").create(imageOf("wide", "bash", "node"), MASTER);
    expect(await submit(jobsUnder(new Set(["node"]), { alice: "any" }), "wide")).toContain("this server does not allow");
  });
});

test("images from the server's files run under every rule, until the API replaces their templates", async () => {
  const file = { ...imageOf("from-file", "bash", "bash"), directory: "/opt/images" };
  await imagesUnder("none").put(file);
  const strict = jobsUnder("none", { alice: "none" });
  expect(await submit(strict, "from-file")).toBe("created");
  const open = imagesUnder("any");
  await open.update({ name: "from-file", image: { ...file.image, tag: "2" } }, MASTER);
  expect(await submit(strict, "from-file")).toBe("created");
  // A script may be such a template.
  for (const templates of [{ deployTemplates: file.deployTemplates }, { configTemplates: { "app.conf": "{}" } }]) {
    await open.update({ name: "from-file", image: file.image, ...templates }, MASTER);
    expect(await submit(strict, "from-file")).toContain("this server runs app images from");
    await open.put(file);
    expect(await submit(strict, "from-file")).toBe("created");
  }
});
