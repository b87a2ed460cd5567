/** The one handler of the lines without a database: an answer as QueryJob gives for a job of 2 tasks and 2 parties. */

import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import {
  type QueryJobResponse,
  QueryJobResponseSchema,
} from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";

const TIME = "2026-01-02T03:04:05Z";
const ALIASES = ["task-0", "task-1"];
const DOMAINS = ["alice", "bob"];
const INPUT = JSON.stringify({ sf_input_ids: ["alice-table", "bob-table"], sf_node_eval_param: { domain: "data_prep", name: "psi" } });

/** Made anew for each call, as a handler makes it of what it has read. */
export function answerInit(jobId: string): MessageInitShape<typeof QueryJobResponseSchema> {
  return {
    status: { code: 0, message: "success" },
    data: {
      jobId,
      initiator: "alice",
      maxParallelism: 2,
      customFields: { project: "bench" },
      tasks: ALIASES.map((alias, i) => ({
        appImage: "bench-image",
        parties: DOMAINS.map((domainId) => ({ domainId, role: "", resources: {} })),
        alias,
        taskId: `${jobId}-${alias}`,
        dependencies: i === 0 ? [] : [ALIASES[i - 1] ?? ""],
        taskInputConfig: INPUT,
        priority: 100,
      })),
      status: {
        state: "Running",
        createTime: TIME,
        startTime: TIME,
        tasks: ALIASES.map((alias) => ({
          taskId: `${jobId}-${alias}`,
          alias,
          state: "Running",
          createTime: TIME,
          startTime: TIME,
          parties: DOMAINS.map((domainId) => ({
            domainId,
            state: "Running",
            endpoints: [{ portName: "psi", scope: "Cluster", endpoint: "127.0.0.1:20000" }],
          })),
        })),
        stageStatusList: DOMAINS.map((domainId) => ({ domainId, state: "JobStartStageSucceeded" })),
        approveStatusList: DOMAINS.map((domainId) => ({ domainId, state: "JobAccepted" })),
      },
    },
  };
}

export function answerMessage(jobId: string): QueryJobResponse {
  return create(QueryJobResponseSchema, answerInit(jobId));
}

/** As Connect servers write JSON here, ours and the stock one: the same bytes. */
export const JSON_OPTIONS = { useProtoFieldName: true, alwaysEmitImplicit: true } as const;

/** A plain object of the same content, for a server that knows only JSON. */
export const PLAIN_ANSWER = toJson(QueryJobResponseSchema, answerMessage("bench-000000000"), JSON_OPTIONS);
