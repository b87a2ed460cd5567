/** Jobs that are made without reading: as if they had been read for. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { createImages, type Images } from "../../src/images.js";
import { createJobs, type Jobs } from "../../src/jobs.js";
import { DEFAULT_LIMITS } from "../../src/core/dag.js";
import { Writer } from "../../src/store/batch.js";
import { KeptImages } from "../../src/store/kept-images.js";
import type { ResolvedImage } from "../../src/store/slices.js";
import { MASTER, taskOf } from "../core/fixtures.js";
import { IMAGE, jobNamed, type Listening, listenTo, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;
/** Another server's. */
let images: Images;
let jobs: Jobs;
let listening: Listening;

beforeAll(async () => {
  store = await openTestStore();
  images = createImages({ pool: store.pool, commands: "any" });
  listening = listenTo(store.pool);
  const writer = new Writer({ pool: listening.pool, now: Date.now });
  jobs = createJobs({ pool: store.pool, writer, limits: DEFAULT_LIMITS, domains: null, manualDomains: new Set() });
});
afterAll(() => store.close());

const using = (jobId: string, appImage: string, taskId = "") => jobNamed(jobId, { tasks: [taskOf("a", { taskId, appImage })] });
const submit = (definition: ReturnType<typeof jobNamed>, requestId = "") => jobs.submit({ definition, surface: "test", requestId }, MASTER);
const digestOf = async (jobId: string) => (await store.jobs.query(jobId, MASTER)).tasks[0]?.imageDigest;

/** The statements that the writer makes meanwhile. */
async function statementsOf(act: () => Promise<unknown>): Promise<readonly string[]> {
  listening.statements.length = 0;
  await act();
  return [...listening.statements];
}

test("a job of an image that was read before is made by one statement", async () => {
  await images.put({ ...IMAGE, name: "known" });
  expect(await statementsOf(() => submit(using("first", "known")))).toEqual(["load-slices", "save-batch"]);
  expect(await statementsOf(() => submit(using("second", "known")))).toEqual(["save-batch"]);
  expect(await digestOf("second")).toBe(await digestOf("first"));
});

test("ids that the client chose are looked up", async () => {
  await images.put({ ...IMAGE, name: "ids" });
  await submit(using("ids-1", "ids"));
  expect(await statementsOf(() => submit(using("ids-2", "ids", "chosen-id")))).toEqual(["load-slices", "save-batch"]);
  await expect(submit(using("ids-3", "ids", "chosen-id"))).rejects.toMatchObject({ reason: "InvalidArgument" });
  expect(await statementsOf(() => submit(using("ids-4", "ids"), "a request"))).toEqual(["load-slices", "save-batch"]);
});

test("a name that is taken is found by the save, and answered as ever", async () => {
  await images.put({ ...IMAGE, name: "names" });
  await submit(using("name", "names"));
  const again = ["save-batch", "load-slices"];
  expect(await statementsOf(async () => expect(await submit(using("name", "names"))).toEqual({ jobId: "name", repeated: true }))).toEqual(again);
  const other = { ...using("name", "names"), maxParallelism: 7 };
  expect(await statementsOf(() => expect(submit(other)).rejects.toMatchObject({ reason: "AlreadyExists" }))).toEqual(again);
});

test("an image that was changed elsewhere is used as it is now", async () => {
  await images.put({ ...IMAGE, name: "changed" });
  await submit(using("changed-1", "changed"));
  await images.put({ ...IMAGE, name: "changed", image: { ...IMAGE.image, tag: "2" } });
  expect(await statementsOf(() => submit(using("changed-2", "changed")))).toEqual(["save-batch", "load-slices", "save-batch"]);
  const [stored] = await store.query<{ digest: string }>("select digest from app_images where name = 'changed'");
  expect(await digestOf("changed-2")).toBe(stored?.digest);
  expect(await digestOf("changed-1")).not.toBe(stored?.digest);
});

test("an image that is gone, or has another role now, is judged by what is there", async () => {
  await images.put({ ...IMAGE, name: "gone" });
  await submit(using("gone-1", "gone"));
  await images.remove("gone", MASTER);
  await expect(submit(using("gone-2", "gone"))).rejects.toMatchObject({ reason: "InvalidArgument", message: expect.stringContaining("not found") });
  const roles = (role: string) => ({ ...IMAGE, name: "roles", deployTemplates: IMAGE.deployTemplates.map((template) => ({ ...template, role })) });
  await images.put(roles("server"));
  const asServer = (jobId: string) => {
    const { parties } = taskOf("a");
    return jobNamed(jobId, { tasks: [taskOf("a", { taskId: "", appImage: "roles", parties: parties.map((party) => ({ ...party, role: "client" })) })] });
  };
  await expect(submit(asServer("roles-1"))).rejects.toMatchObject({ reason: "InvalidArgument" });
  await images.put(roles("client"));
  await submit(asServer("roles-1"));
});

test("the kept images are bounded, and one that is not there any more is forgotten", () => {
  const kept = new KeptImages();
  const resolved: ResolvedImage = { digest: "d", image: IMAGE };
  for (let i = 0; i < 300; i += 1) kept.keep([`image-${i}`], { images: new Map([[`image-${i}`, resolved]]) });
  expect([kept.all(["image-235"]), kept.all(["image-236", "image-299"])]).toEqual([undefined, [["image-236", resolved], ["image-299", resolved]]]);
  kept.keep(["image-299"], { images: new Map() });
  expect(kept.all(["image-299"])).toBeUndefined();
});
