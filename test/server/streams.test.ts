import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { rawPost, sendRaw, TRANSPORTS, useFronts } from "../front.js";

const WATCH = "/api/v1/job/watch";
const start = useFronts();
const transports = Object.entries(TRANSPORTS);

describe("a watcher that leaves", () => {
  it.each(transports)("ends its watch at once over %s", async (_name, transport) => {
    const { url, hub } = await start();
    const ended = hub.ended();
    const leave = new AbortController();
    const watch = createClient(JobService, transport(url)).watchJob({}, { signal: leave.signal });
    const frames = watch[Symbol.asyncIterator]();
    await frames.next();
    leave.abort();
    expect((await ended).aborted).toBe(true);
    await expect(frames.next()).rejects.toMatchObject({ code: Code.Canceled });
  });

  it("ends its watch at once over REST", async () => {
    const { url, hub } = await start();
    const ended = hub.ended();
    const leave = new AbortController();
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url + WATCH, { method: "POST", headers, body: "{}", signal: leave.signal });
    await answer.body?.getReader().read();
    leave.abort();
    expect((await ended).aborted).toBe(true);
  });

  it("ends its watch where its connection breaks", async () => {
    const { port, hub } = await start();
    const ended = hub.ended();
    // Destroys its socket as soon as the heartbeat has come.
    await sendRaw(port, rawPost(WATCH, "{}"), '{"type":4}');
    expect((await ended).aborted).toBe(true);
  });
});
