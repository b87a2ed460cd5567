/**
 * What each route answers to each kind of caller. Rows say what comes out: a number is the in-band code of an answer, a
 * word is an error of the transport (HTTP statuses in Connect's words), `ok` is an answer that has no code.
 */

import type { JsonObject } from "@bufbuild/protobuf";

/** The job of a call is alice's, with bob in it, who has not approved it yet. */
export const CALLERS = {
  none: undefined,
  bad: "nobody's",
  expired: "alice-of-old",
  outsider: "carol",
  party: "bob",
  initiator: "alice",
  master: "ops",
} as const;
export type Who = keyof typeof CALLERS;
export const WHO = Object.keys(CALLERS) as Who[];

export type Outcome = number | string;
export type Row = Readonly<Record<Who, Outcome>>;

export const guarded = (outsider: Outcome, party: Outcome, initiator: Outcome, master: Outcome): Row => ({
  none: "Unauthenticated",
  bad: "Unauthenticated",
  expired: "Unauthenticated",
  outsider,
  party,
  initiator,
  master,
});
const open = (outcome: Outcome): Row => {
  return { ...guarded(outcome, outcome, outcome, outcome), none: outcome, bad: outcome, expired: outcome };
};
const everyCaller = (outcome: Outcome): Row => guarded(outcome, outcome, outcome, outcome);
const masterAlone = (refusal: Outcome, outcome: Outcome): Row => guarded(refusal, refusal, refusal, outcome);

export const CREATE = guarded(11102, 11102, 0, 0);
const QUERY = guarded(11202, 0, 0, 0);
const BATCH_QUERY = guarded(11203, 0, 0, 0);
const WATCH = guarded("hidden", "shown", "shown", "shown");
const STOP = guarded(11102, 0, 0, 0);
/** 11210 and 11211: who may, but not in this state of the job. */
const SUSPEND = guarded(11102, 11210, 11210, 11210);
const RESTART = guarded(11102, 11102, 11211, 11211);
const DELETE = guarded(11102, 11102, 0, 0);
/** The initiator is not asked: 11206. */
export const APPROVE = guarded(11102, 0, 11206, 0);
const IMAGES = masterAlone(11102, 0);
const LOGS = guarded("NotFound", "ok", "ok", "ok");
/** A job that is not the caller's reads like one that is not there, and is in no list of its. */
const READ = guarded("NotFound", "ok", "ok", "ok");
const LIST = guarded("hidden", "shown", "shown", "shown");
/** What any party may do to a job over the Kylin API, and what only the initiator may, who is refused for its status. */
const MAY_END = guarded("PermissionDenied", "ok", "ok", "ok");
const INITIATORS_IN_VAIN = guarded("PermissionDenied", "PermissionDenied", 400, 400);

const JOB = "kuscia.proto.api.v1alpha1.kusciaapi.JobService";
const APP_IMAGE = "kuscia.proto.api.v1alpha1.kusciaapi.AppImageService";
const HEALTH = "kuscia.proto.api.v1alpha1.kusciaapi.HealthService";

export const METHODS = {
  [`${HEALTH}/healthZ`]: everyCaller(0),
  [`${JOB}/CreateJob`]: CREATE,
  [`${JOB}/QueryJob`]: QUERY,
  [`${JOB}/BatchQueryJobStatus`]: BATCH_QUERY,
  [`${JOB}/WatchJob`]: WATCH,
  [`${JOB}/StopJob`]: STOP,
  [`${JOB}/SuspendJob`]: SUSPEND,
  [`${JOB}/RestartJob`]: RESTART,
  [`${JOB}/CancelJob`]: STOP,
  [`${JOB}/DeleteJob`]: DELETE,
  [`${JOB}/ApproveJob`]: APPROVE,
  [`${APP_IMAGE}/CreateAppImage`]: IMAGES,
  [`${APP_IMAGE}/UpdateAppImage`]: IMAGES,
  [`${APP_IMAGE}/DeleteAppImage`]: IMAGES,
  [`${APP_IMAGE}/QueryAppImage`]: IMAGES,
  [`${APP_IMAGE}/ListAppImage`]: IMAGES,
  [`${APP_IMAGE}/BatchQueryAppImage`]: IMAGES,
  "muster.v1.JobsService/ListJobs": LIST,
  "muster.v1.JobsService/GetJob": READ,
  "muster.v1.JobsService/ListEvents": READ,
  "muster.v1.JobsService/GetLogs": LOGS,
  "muster.v1.LogsService/GetTaskLogs": LOGS,
  "grpc.health.v1.Health/Check": open("ok"),
  "grpc.health.v1.Health/List": open("ok"),
  "grpc.health.v1.Health/Watch": open("ok"),
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": everyCaller("ok"),
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": everyCaller("ok"),
} satisfies Record<string, Row>;

export const ROUTES = {
  "POST /api/v1/job/create": CREATE,
  "POST /api/v1/job/query": QUERY,
  "POST /api/v1/job/status/batchQuery": BATCH_QUERY,
  "POST /api/v1/job/watch": WATCH,
  "POST /api/v1/job/stop": STOP,
  "POST /api/v1/job/suspend": SUSPEND,
  "POST /api/v1/job/restart": RESTART,
  "POST /api/v1/job/cancel": STOP,
  "POST /api/v1/job/delete": DELETE,
  "POST /api/v1/job/approve": APPROVE,
  "POST /api/v1/appimage/create": IMAGES,
  "POST /api/v1/appimage/update": IMAGES,
  "POST /api/v1/appimage/delete": IMAGES,
  "POST /api/v1/appimage/query": IMAGES,
  "POST /api/v1/appimage/list": IMAGES,
  "POST /api/v1/appimage/batchQuery": IMAGES,
  "POST /healthZ": everyCaller(0),
  "GET /probe": open("ok"),
  "GET /version": open("ok"),
  "GET /metrics": masterAlone("PermissionDenied", "ok"),
  "GET /v1/jobs": LIST,
  "GET /v1/jobs/{job_id}": READ,
  "GET /v1/jobs/{job_id}/events": READ,
  "GET /v1/jobs/{job_id}/logs": LOGS,
  "GET /kylin/api/jobs": LIST,
  "GET /kylin/api/jobs/{jobId}": READ,
  "GET /kylin/api/jobs/{jobId}/steps/{stepId}/output": LOGS,
  "PUT /kylin/api/jobs/{jobId}/pause": MAY_END,
  "PUT /kylin/api/jobs/{jobId}/resume": INITIATORS_IN_VAIN,
  "PUT /kylin/api/jobs/{jobId}/cancel": MAY_END,
  "DELETE /kylin/api/jobs/{jobId}/drop": INITIATORS_IN_VAIN,
  // The attempt's uid is the credential, and this one is nobody's.
  "POST /v1/attempts/{attempt_uid}/progress": open("NotFound"),
} satisfies Record<string, Row>;

/** What a route's path must be followed by. */
export const QUERIES: Readonly<Record<string, string>> = { "/kylin/api/jobs": "?timeFilter=4" };

/** Requests by the last part of a method's name or a route's path; `{}` where none is named. */
const REQUESTS: Readonly<Record<string, (name: string) => JsonObject>> = {
  CreateJob: (name) => ({ ...asRequest(`${name}-new`) }),
  BatchQueryJobStatus: (name) => ({ job_ids: [name] }),
  ApproveJob: (name) => ({ job_id: name, result: "APPROVE_RESULT_ACCEPT" }),
  CreateAppImage: (name) => ({ ...imageRequest(`${name}-new`) }),
  UpdateAppImage: (name) => ({ name, image: { name: "other" } }),
  DeleteAppImage: (name) => ({ name }),
  QueryAppImage: (name) => ({ name }),
  ListAppImage: () => ({}),
  BatchQueryAppImage: (name) => ({ names: [name] }),
  WatchJob: () => ({}),
  ListJobs: () => ({}),
  Check: () => ({}),
  healthZ: () => ({}),
  List: () => ({}),
  Watch: () => ({}),
  ServerReflectionInfo: () => ({ list_services: "" }),
};
export const requestOf = (method: string, name: string): JsonObject => REQUESTS[method]?.(name) ?? { job_id: name };

/** The method behind a REST route of the Kuscia API. */
export const METHOD_OF_PATH: Readonly<Record<string, string>> = {
  "/api/v1/job/create": "CreateJob",
  "/api/v1/job/status/batchQuery": "BatchQueryJobStatus",
  "/api/v1/job/approve": "ApproveJob",
  "/api/v1/job/watch": "WatchJob",
  "/api/v1/appimage/create": "CreateAppImage",
  "/api/v1/appimage/update": "UpdateAppImage",
  "/api/v1/appimage/delete": "DeleteAppImage",
  "/api/v1/appimage/query": "QueryAppImage",
  "/api/v1/appimage/list": "ListAppImage",
  "/api/v1/appimage/batchQuery": "BatchQueryAppImage",
};

function asRequest(jobId: string): JsonObject {
  const parties = [{ domain_id: "alice" }, { domain_id: "bob" }];
  return { job_id: jobId, initiator: "alice", tasks: [{ alias: "a", app_image: "image", parties }] };
}

function imageRequest(name: string): JsonObject {
  return { name, image: { name }, deploy_templates: [{ name: "main", containers: [{ name: "app", command: ["true"] }] }] };
}
