/** A part: our server with the handler of answer.ts and nothing behind it. */

import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type * as Front from "../../src/server.js";
import type * as Telemetry from "../../src/telemetry.js";
import { fromDist } from "../dist.js";
import { answer } from "../part.js";
import { answerInit } from "./answer.js";

const { createServer } = await fromDist<typeof Front>("server.js");
const { createLog } = await fromDist<typeof Telemetry>("telemetry.js");

const methods = {
  async start(): Promise<string> {
    const server = createServer({
      listen: { host: "127.0.0.1", port: 0 },
      surfaces: [
        {
          name: "bench",
          routes: [],
          register: (router) => void router.rpc(JobService.method.queryJob, (request) => answerInit(request.jobId)),
        },
      ],
      authenticate: () => ({ kind: "Admitted", actor: { role: "master", domain: null }, ambient: true }),
      maxBodyBytes: 1 << 20,
      log: createLog("warn"),
    });
    return `http://127.0.0.1:${(await server.start()).port}`;
  },
};

/** All servers of these lines have the same way to be started. */
export type BareServer = typeof methods;
answer(methods);
