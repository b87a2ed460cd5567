/** A part: node:http with JSON.parse and JSON.stringify: the least that a JSON server on Node can do. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { answer } from "../part.js";
import { PLAIN_ANSWER } from "./answer.js";

const server = createServer((request, response) => {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (chunk: string) => (text += chunk));
  request.on("end", () => {
    const { job_id: jobId }: { job_id: string } = JSON.parse(text);
    // Of another id each time, so that the text has to be made anew.
    const body = JSON.stringify({ ...(PLAIN_ANSWER as object), asked: jobId });
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(body);
  });
});

const methods = {
  start(): Promise<string> {
    return new Promise((resolve) => {
      // An AddressInfo, since it does not listen on a pipe.
      server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  },
};

answer(methods);
