/** A watch does not outlive its credential. */

import { Code, createClient } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { MASTER, postJson, readLines, TRANSPORTS, useFronts } from "../front.js";

const start = useFronts();

/** A front whose credentials are good until `revoke` is called. */
async function startRevocable() {
  let good = true;
  const front = await start({
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: false, holds: () => good }),
    timeouts: { standing: 10 },
  });
  return { front, revoke: () => (good = false) };
}

it.each(Object.entries(TRANSPORTS))("over %s it ends with unauthenticated, and the hub lets go", async (_name, transport) => {
  const { front, revoke } = await startRevocable();
  const watch = createClient(JobService, transport(front.url)).watchJob({})[Symbol.asyncIterator]();
  expect((await watch.next()).value).toMatchObject({ type: 4 });
  const ended = front.hub.ended();
  revoke();
  await expect(watch.next()).rejects.toMatchObject({ code: Code.Unauthenticated, rawMessage: "the credential is no longer valid" });
  expect((await ended).aborted).toBe(true);
});

it("on REST its body ends", async () => {
  const { front, revoke } = await startRevocable();
  const frames = readLines(await postJson(`${front.url}/api/v1/job/watch`, {}));
  expect((await frames.next()).value).toMatchObject({ type: 4 });
  revoke();
  expect(await frames.next()).toEqual({ value: undefined, done: true });
});

it("goes on as long as the credential is good, asked any number of times", async () => {
  let asked = 0;
  const front = await start({
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: false, holds: () => (asked += 1) > 0 }),
    timeouts: { standing: 5 },
  });
  const watch = createClient(JobService, TRANSPORTS["gRPC"]!(front.url)).watchJob({})[Symbol.asyncIterator]();
  await watch.next();
  await expect.poll(() => asked).toBeGreaterThan(3);
  front.hub.emit({ kind: "Heartbeat", revision: 8n });
  expect((await watch.next()).value).toMatchObject({ type: 4 });
  await watch.return?.();
});
