/** The jobs that the benchmark makes, in the API's own JSON, with places for ids (see load/messages.ts). */

import { fromJson, toBinary } from "@bufbuild/protobuf";
import {
  CreateJobRequestSchema,
  QueryJobRequestSchema,
} from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { envelope } from "./load/grpc.js";
import { ID_PLACE } from "./load/messages.js";

export const IMAGE = "bench-image";

/** A little of what apps are told: 230 bytes, of the shape that SecretFlow uses. */
const INPUT = JSON.stringify({
  sf_datasource_config: { alice: { id: "default-data-source" }, bob: { id: "default-data-source" } },
  sf_node_eval_param: { domain: "data_prep", name: "psi", version: "0.0.5", attr_paths: ["protocol", "sort_result"] },
  sf_input_ids: ["alice-table", "bob-table"],
});

export interface JobShape {
  readonly tasks: number;
  /** Tasks underway at once. */
  readonly parallelism: number;
  /** The first is the initiator. */
  readonly domains: readonly string[];
  /** Each task waits for the one so many places before it; absent = all are free to start. */
  readonly behind?: number;
}

/** What CreateJob is measured with: two tasks, one after the other, of two parties each. */
export const USUAL: JobShape = { tasks: 2, parallelism: 2, domains: ["alice", "bob"], behind: 1 };

export function jobRequest({ tasks, parallelism, domains, behind }: JobShape, prefix = "bench"): object {
  return {
    job_id: `${prefix}-${ID_PLACE}`,
    initiator: domains[0],
    max_parallelism: parallelism,
    tasks: Array.from({ length: tasks }, (_, i) => ({
      app_image: IMAGE,
      alias: `task-${i}`,
      parties: domains.map((domain) => ({ domain_id: domain })),
      dependencies: behind === undefined || i < behind ? [] : [`task-${i - behind}`],
      task_input_config: INPUT,
      priority: 100,
    })),
    custom_fields: { project: "bench" },
  };
}

/** CreateJob as a gRPC client sends it. */
export function createBody(shape: JobShape, prefix?: string): Buffer {
  // The request is plain JSON; only JSON's type says less about it.
  const message = fromJson(CreateJobRequestSchema, jobRequest(shape, prefix) as never);
  return envelope(toBinary(CreateJobRequestSchema, message));
}

/** QueryJob of the job with a number. */
export function queryBody(prefix = "bench"): Buffer {
  const message = fromJson(QueryJobRequestSchema, { job_id: `${prefix}-${ID_PLACE}` });
  return envelope(toBinary(QueryJobRequestSchema, message));
}

export const JOB_SERVICE = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService";
