import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { JobStatusDetailSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { picture } from "../../src/cli/demo/picture.js";
import { REASONS } from "../../src/core/job.js";

type Status = MessageInitShape<typeof JobStatusDetailSchema>;
const draw = (status: Status) => picture("job-1", create(JobStatusDetailSchema, status));
const at = (second: number) => `2026-01-02T03:04:0${second}Z`;

test("the picture says what each task waits for, why it failed, and since when each party is as it is", () => {
  const lines = draw({
    state: "Running",
    startTime: at(0),
    reason: { since: at(0) },
    tasks: [
      {
        alias: "psi",
        state: "Running",
        startTime: at(2),
        progress: 0.5,
        reason: { since: at(2) },
        parties: [
          { domainId: "alice", state: "Running", reason: { since: at(2) }, endpoints: [{ endpoint: "127.0.0.1:40" }] },
          { domainId: "bob", state: "Pending", reason: { reason: "Starting", since: at(1) } },
        ],
      },
      { alias: "split", state: "Pending", reason: { reason: "WaitingDependency", since: at(0), waitsFor: ["psi", "a"] } },
      { alias: "train", state: "Pending", reason: { reason: "WaitingResources", message: "no 4 cpu", since: at(3) } },
      {
        alias: "load",
        state: "Failed",
        startTime: at(1),
        endTime: at(4),
        errMsg: "party bob failed: no file",
        reason: { reason: "PartyFailed", message: "party bob failed: no file", since: at(4) },
        parties: [
          { domainId: "bob", state: "Failed", errMsg: "no file", reason: { reason: "AppFailed", since: at(4) } },
        ],
      },
    ],
  });
  expect(lines).toEqual([
    "▶ job job-1                 Running  since 03:04:00",
    "▶   psi                     Running  50 %  since 03:04:02",
    "▶       alice               Running  127.0.0.1:40  since 03:04:02",
    "·       bob                 Pending  its processes are being started  since 03:04:01",
    "·   split                   Pending  waiting for psi, a  since 03:04:00",
    "·   train                   Pending  no 4 cpu  since 03:04:03",
    "✘   load                    Failed  party bob failed: no file  03:04:01 - 03:04:04",
    "✘       bob                 Failed  no file  since 03:04:04",
  ]);
});

test("a job that waits for approval says whose", () => {
  const reason = { reason: "WaitingApproval", message: "waiting for approval by bob", since: at(0), waitsFor: ["bob"] };
  expect(draw({ state: "AwaitingApproval", reason })).toEqual([
    "? job job-1                 AwaitingApproval  waiting for bob  since 03:04:00",
  ]);
});

test.each(REASONS.filter((reason) => reason.startsWith("Waiting")))("%s is told in words", (reason) => {
  const [, task] = draw({ state: "Running", tasks: [{ alias: "a", state: "Pending", reason: { reason } }] });
  expect(task).toMatch(/Pending {2}waiting for \w/);
});
