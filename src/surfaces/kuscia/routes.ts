/**
 * Every unary call of the Kuscia API in one table: its method, its REST path, its codes, its handler. gRPC, gRPC-Web,
 * Connect and REST all come through `answer`, so a call behaves the same on each of them.
 */

import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { ErrorCode } from "../../../gen/kuscia/proto/api/v1alpha1/errorcode/error_code_pb.js";
import { AppImageService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JobError } from "../../core/error.js";
import type { Actor } from "../../core/job.js";
import type { Images } from "../../images.js";
import type { Jobs } from "../../jobs.js";
import {
  batchQueryAppImage,
  createAppImage,
  deleteAppImage,
  listAppImage,
  queryAppImage,
  updateAppImage,
} from "./app-image-service.js";
import { type CallCodes, statusFromError, SUCCESS } from "./errors.js";
import { approveJob, batchQueryJobStatus, commandJob, createJob, queryJob } from "./job-service.js";
import { checkText } from "../../text.js";

export interface KusciaCall {
  readonly method: DescMethodUnary;
  readonly path: string;
  readonly codes: CallCodes;
  /**
   * The response with its in-band status. Throws only `ResourceExhausted`, which is an error of the transport: trying
   * again later may help, and clients have rules for that.
   */
  answer(request: Message, actor: Actor): Promise<Message>;
}

export interface KusciaDependencies {
  readonly jobs: Jobs;
  readonly images: Images;
  readonly log: Logger;
}

export function kusciaCalls({ jobs, images, log }: KusciaDependencies): readonly KusciaCall[] {
  const job = JobService.method;
  const image = AppImageService.method;
  const call = callWith(log);
  return [
    call(job.createJob, "/api/v1/job/create", JOB_CODES.create, (r, a) => createJob(jobs, r, a)),
    call(job.queryJob, "/api/v1/job/query", JOB_CODES.query, (r, a) => queryJob(jobs, r, a)),
    call(job.batchQueryJobStatus, "/api/v1/job/status/batchQuery", JOB_CODES.batchQuery, (r, a) =>
      batchQueryJobStatus(jobs, r, a),
    ),
    call(job.deleteJob, "/api/v1/job/delete", JOB_CODES.delete, (r, a) => commandJob(jobs, "Delete", r, a)),
    call(job.stopJob, "/api/v1/job/stop", JOB_CODES.stop, (r, a) => commandJob(jobs, "Stop", r, a)),
    call(job.approveJob, "/api/v1/job/approve", JOB_CODES.approve, (r, a) => approveJob(jobs, r, a)),
    call(job.suspendJob, "/api/v1/job/suspend", JOB_CODES.suspend, (r, a) => commandJob(jobs, "Suspend", r, a)),
    call(job.restartJob, "/api/v1/job/restart", JOB_CODES.restart, (r, a) => commandJob(jobs, "Restart", r, a)),
    call(job.cancelJob, "/api/v1/job/cancel", JOB_CODES.cancel, (r, a) => commandJob(jobs, "Cancel", r, a)),
    call(image.createAppImage, "/api/v1/appimage/create", IMAGE_CODES.create, (r, a) => createAppImage(images, r, a)),
    call(image.updateAppImage, "/api/v1/appimage/update", IMAGE_CODES.update, (r, a) => updateAppImage(images, r, a)),
    call(image.deleteAppImage, "/api/v1/appimage/delete", IMAGE_CODES.delete, (r, a) => deleteAppImage(images, r, a)),
    call(image.queryAppImage, "/api/v1/appimage/query", IMAGE_CODES.query, (r, a) => queryAppImage(images, r, a)),
    call(image.listAppImage, "/api/v1/appimage/list", IMAGE_CODES.list, (r, a) => listAppImage(images, r, a)),
    call(image.batchQueryAppImage, "/api/v1/appimage/batchQuery", IMAGE_CODES.batchQuery, (r, a) =>
      batchQueryAppImage(images, r, a),
    ),
  ];
}

/** Query and BatchQuery tell nobody whether a job exists that the caller may not see. */
const JOB_CODES = {
  create: { failed: ErrorCode.KusciaAPIErrCreateJob },
  query: { failed: ErrorCode.KusciaAPIErrQueryJob, forbidden: ErrorCode.KusciaAPIErrQueryJob },
  batchQuery: { failed: ErrorCode.KusciaAPIErrQueryJobStatus, forbidden: ErrorCode.KusciaAPIErrQueryJobStatus },
  delete: { failed: ErrorCode.KusciaAPIErrDeleteJob },
  stop: { failed: ErrorCode.KusciaAPIErrStopJob },
  approve: { failed: ErrorCode.KusciaAPIErrApproveJob },
  suspend: {
    failed: ErrorCode.KusciaAPIErrSuspendJob,
    illegalMove: ErrorCode.KusciaAPIErrSuspendNotRunningJob,
  },
  restart: {
    failed: ErrorCode.KusciaAPIErrRestartJob,
    illegalMove: ErrorCode.KusciaAPIErrRestartNotSuspendedOrFailedJob,
  },
  cancel: { failed: ErrorCode.KusciaAPIErrCancelJob },
} as const satisfies Record<string, CallCodes>;

const IMAGE_CODES = {
  create: {
    failed: ErrorCode.KusciaAPIErrCreateAppImage,
    alreadyExists: ErrorCode.KusciaAPIErrAppImageExists,
    badQuantity: ErrorCode.KusciaAPIErrCreateAppImage,
  },
  update: {
    failed: ErrorCode.KusciaAPIErrUpdateAppImage,
    notFound: ErrorCode.KusciaAPIErrAppImageNotExists,
    badQuantity: ErrorCode.KusciaAPIErrUpdateAppImage,
  },
  delete: { failed: ErrorCode.KusciaAPIErrDeleteAppImage },
  query: { failed: ErrorCode.KusciaAPIErrQueryAppImage, notFound: ErrorCode.KusciaAPIErrAppImageNotExists },
  list: { failed: ErrorCode.KusciaAPIErrListAppImage },
  batchQuery: { failed: ErrorCode.KusciaAPIErrBatchQueryAppImage, notFound: ErrorCode.KusciaAPIErrAppImageNotExists },
} as const satisfies Record<string, CallCodes>;

function callWith(log: Logger) {
  return function call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    path: string,
    codes: CallCodes,
    handle: (request: MessageShape<I>, actor: Actor) => Promise<MessageInitShape<O>>,
  ): KusciaCall {
    // Every response of this API has `status` as its first field, which the generic type cannot say.
    const response = (init: object): Message => create(method.output, init as MessageInitShape<O>);
    return {
      method,
      path,
      codes,
      async answer(request, actor) {
        try {
          checkText(method.input, request);
          // The router and the REST decoder make requests by the descriptor of this very method.
          return response({ status: SUCCESS, ...(await handle(request as MessageShape<I>, actor)) });
        } catch (error) {
          if (error instanceof JobError && error.reason === "ResourceExhausted") throw error;
          return response({ status: statusFromError(error, codes, log) });
        }
      },
    };
  };
}
