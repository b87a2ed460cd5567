/** A part: the product's own server with the runner of noop-runner.ts in place of the local one. */

import type * as Configuration from "../src/config.js";
import type * as Main from "../src/main.js";
import type * as Telemetry from "../src/telemetry.js";
import { fromDist } from "./dist.js";
import { NoopRunner } from "./noop-runner.js";
import { answer } from "./part.js";

const { startMuster } = await fromDist<typeof Main>("main.js");
const { loadConfig } = await fromDist<typeof Configuration>("config.js");
const { createLog } = await fromDist<typeof Telemetry>("telemetry.js");

let muster: Awaited<ReturnType<typeof startMuster>> | undefined;

const methods = {
  /** Flags of `muster serve`. Resolves with the URL. */
  async start(flags: Readonly<Record<string, string>>): Promise<string> {
    const log = createLog("warn");
    muster = await startMuster(loadConfig({ flags }), log, "bench", async () => new NoopRunner());
    return muster.url;
  },
  async stop(): Promise<void> {
    await muster?.stop();
  },
};

export type NoopServer = typeof methods;
answer(methods);
