/** A part: grpc-js with the same handler and the same codec, so that the servers differ and nothing else. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import {
  type QueryJobRequest,
  QueryJobRequestSchema,
  type QueryJobResponse,
  QueryJobResponseSchema,
} from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JOB_SERVICE } from "../job.js";
import { answer } from "../part.js";
import { answerMessage } from "./answer.js";

const server = new Server();
server.addService(
  {
    queryJob: {
      path: `${JOB_SERVICE}/QueryJob`,
      requestStream: false,
      responseStream: false,
      requestDeserialize: (bytes: Buffer) => fromBinary(QueryJobRequestSchema, bytes),
      requestSerialize: (message: QueryJobRequest) => Buffer.from(toBinary(QueryJobRequestSchema, message)),
      responseDeserialize: (bytes: Buffer) => fromBinary(QueryJobResponseSchema, bytes),
      responseSerialize: (message: QueryJobResponse) => Buffer.from(toBinary(QueryJobResponseSchema, message)),
    },
  },
  {
    queryJob: (call: ServerUnaryCall<QueryJobRequest, QueryJobResponse>, done: sendUnaryData<QueryJobResponse>) =>
      done(null, answerMessage(call.request.jobId)),
  },
);

const methods = {
  start(): Promise<string> {
    return new Promise((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(`http://127.0.0.1:${port}`),
      );
    });
  },
};

answer(methods);
