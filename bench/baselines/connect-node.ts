/** A part: connect-node as its documentation has it, over HTTP/2 for gRPC or over HTTP/1.1 for JSON. */

import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { answer } from "../part.js";
import { answerInit, JSON_OPTIONS } from "./answer.js";

const handler = connectNodeAdapter({
  routes: (router: ConnectRouter) => void router.rpc(JobService.method.queryJob, (request) => answerInit(request.jobId)),
  jsonOptions: JSON_OPTIONS,
});

const methods = {
  start(httpVersion: "1.1" | "2"): Promise<string> {
    const server = httpVersion === "2" ? createHttp2Server(handler) : createServer(handler);
    return new Promise((resolve) => {
      // An AddressInfo, since it does not listen on a pipe.
      server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  },
};

export type ConnectServer = typeof methods;
answer(methods);
