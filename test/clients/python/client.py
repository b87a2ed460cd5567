"""A Python client (grpcio) that leads jobs through a whole life on a Muster server.

    /usr/bin/python3 test/clients/python/client.py http://127.0.0.1:8082 [DOMAIN]

DOMAIN names a domain that approves its jobs by hand (`approval: manual` in muster.yaml); without it nothing waits for
an approval. The stubs are generated from proto/ into a temporary folder. Ends with 0, or with 1 and a sentence about
the first surprise.
"""

import os
import pathlib
import sys
import tempfile

import grpc
import grpc_tools
from google.protobuf import json_format
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
# Seconds; far more than anything here takes.
PATIENCE = 60
# Milliseconds; should this program break off, what it started is gone after them.
LONG = 2 * PATIENCE * 1000
ENDED = ("Succeeded", "Failed", "Cancelled", "ApprovalReject")


def fail(message):
    sys.exit(f"python client: {message}")


def generate_stubs(folder):
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = [
        "kuscia/proto/api/v1alpha1/common.proto",
        "kuscia/proto/api/v1alpha1/kusciaapi/job.proto",
        "kuscia/proto/api/v1alpha1/kusciaapi/appimage.proto",
    ]
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(arguments + files) != 0:
        fail("protoc failed")
    sys.path.insert(0, folder)


def expect(what, response, code=0, says=""):
    """Checks the in-band status; gives the response back."""
    status = response.status
    if status.code != code or says not in status.message:
        fail(f"{what}: wanted code {code} {says!r}, got {status.code} {status.message!r}")
    if (status.reason == "") != (code == 0):
        fail(f"{what}: code {code} came with reason {status.reason!r}")
    # Whoever logs answers as JSON must be able to.
    json_format.MessageToJson(response)
    print(f"{what}: {status.code} {status.message}")
    return response


def check(what, condition):
    if not condition:
        fail(f"{what} does not hold")


class Client:
    def __init__(self, target):
        self.channel = grpc.insecure_channel(target, compression=grpc.Compression.Gzip)
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)
        self.images = appimage_pb2_grpc.AppImageServiceStub(self.channel)
        # Names of this run only, so that any server will do, also one on which an earlier run broke off.
        self.prefix = f"python-{os.getpid()}"
        self.image = f"{self.prefix}-sleep"
        self.created = []

    def watch_until(self, job_id, what, reached, once_complete=None):
        """Follows the watch, prints the job's events and returns them, up to the first that `reached` holds for.

        `once_complete` is called when the snapshot of existing jobs is complete, which the first HEARTBEAT says.
        """
        seen = []
        call = self.jobs.WatchJob(job_pb2.WatchJobRequest(timeout_seconds=PATIENCE))
        for event in call:
            if event.type == job_pb2.HEARTBEAT and once_complete is not None:
                once_complete()
                once_complete = None
            if event.type == job_pb2.ERROR:
                fail(f"the watch ended: {event.object.status.err_msg}")
            if event.object.job_id != job_id:
                continue
            status = event.object.status
            tasks = ", ".join(f"{task.alias} {task.state}" for task in status.tasks)
            print(f"  {job_pb2.EventType.Name(event.type)} {job_id} {status.state} ({tasks})")
            seen.append(event)
            if reached(event):
                call.cancel()
                return seen
        fail(f"{job_id}: the watch ended before {what}")

    def until_state(self, job_id, state):
        return self.watch_until(job_id, state, lambda event: event.object.status.state == state)[-1].object.status

    def until_at_work(self, job_id):
        def at_work(event):
            task = event.object.status.tasks[0]
            return task.state == "Running" and all(party.state == "Running" for party in task.parties)

        self.watch_until(job_id, "its first task runs", at_work)

    def create_image(self):
        sleep = appimage_pb2.Container(
            name="sleep",
            command=["node", "-e", "setTimeout(() => undefined, Number(process.env.TASK_INPUT_CONFIG))"],
        )
        request = appimage_pb2.CreateAppImageRequest(
            name=self.image,
            image=appimage_pb2.AppImageInfo(name="example/sleep", tag="1"),
            deploy_templates=[appimage_pb2.DeployTemplate(name="sleep", replicas=1, containers=[sleep])],
        )
        expect("CreateAppImage", self.images.CreateAppImage(request))
        expect("CreateAppImage again", self.images.CreateAppImage(request), 13106, "already exists")
        found = expect("QueryAppImage", self.images.QueryAppImage(appimage_pb2.QueryAppImageRequest(name=self.image)))
        check("QueryAppImage gives the image back", found.data.deploy_templates[0].containers[0] == sleep)
        changed = appimage_pb2.AppImageInfo(name="example/sleep", tag="2")
        change = appimage_pb2.UpdateAppImageRequest(name=self.image, image=changed)
        expect("UpdateAppImage", self.images.UpdateAppImage(change))
        both = self.images.BatchQueryAppImage(appimage_pb2.BatchQueryAppImageRequest(names=[self.image, self.image]))
        tags = [image.image.tag for image in expect("BatchQueryAppImage", both).data]
        check("UpdateAppImage changed the tag", tags == ["2", "2"])
        names, token = [], ""
        while True:
            page = self.images.ListAppImage(appimage_pb2.ListAppImageRequest(page_size=1, page_token=token))
            names += [image.name for image in page.data.appimage_list]
            token = page.data.next_page_token
            if token == "":
                break
        check("ListAppImage lists the image once", names.count(self.image) == 1)

    def job_request(self, name, tasks, domains=("alice", "bob")):
        """`tasks`: alias -> (milliseconds to sleep, aliases that come first)."""
        return job_pb2.CreateJobRequest(
            job_id=f"{self.prefix}-{name}",
            initiator="alice",
            max_parallelism=2,
            custom_fields={"made-by": "python"},
            tasks=[
                job_pb2.Task(
                    app_image=self.image,
                    alias=alias,
                    task_input_config=str(milliseconds),
                    dependencies=dependencies,
                    parties=[job_pb2.Party(domain_id=domain) for domain in domains],
                )
                for alias, (milliseconds, dependencies) in tasks.items()
            ],
        )

    def create(self, request):
        answer = expect(f"CreateJob {request.job_id}", self.jobs.CreateJob(request))
        check("CreateJob names the job", answer.data.job_id == request.job_id)
        self.created.append(request.job_id)
        return request.job_id

    def create_long(self, name):
        return self.create(self.job_request(name, {"sleep": (LONG, [])}))

    def two_tasks(self):
        request = self.job_request("two-tasks", {"first": (50, []), "second": (50, ["first"])})
        has_ended = lambda event: event.object.status.state in ENDED
        events = self.watch_until(request.job_id, "its end", has_ended, once_complete=lambda: self.create(request))
        types = [event.type for event in events]
        check("the first event is ADDED", types[0] == job_pb2.ADDED)
        check("the others are MODIFIED", set(types[1:]) == {job_pb2.MODIFIED})
        for event in events:
            first, second = event.object.status.tasks
            check("the second task waits for the first", second.state == "Pending" or first.state == "Succeeded")
        expect("the same CreateJob again", self.jobs.CreateJob(request))
        request.max_parallelism = 1
        expect("another CreateJob of that name", self.jobs.CreateJob(request), 11201, "already exists")

        query = job_pb2.QueryJobRequest(job_id=request.job_id)
        found = expect("QueryJob", self.jobs.QueryJob(query)).data
        check("the job has Succeeded", found.status.state == "Succeeded" and found.status.end_time.endswith("Z"))
        check("custom_fields come back", dict(found.custom_fields) == {"made-by": "python"})
        check("the definition comes back", [list(task.dependencies) for task in found.tasks] == [[], ["first"]])
        for task in found.status.tasks:
            parties = {party.domain_id: party.state for party in task.parties}
            check("every party has Succeeded", parties == {"alice": "Succeeded", "bob": "Succeeded"})
        missing = job_pb2.QueryJobRequest(job_id="no-such-job")
        expect("QueryJob of no job", self.jobs.QueryJob(missing), 11202, "no-such-job")

        ids = [request.job_id, request.job_id]
        batch = self.jobs.BatchQueryJobStatus(job_pb2.BatchQueryJobStatusRequest(job_ids=ids))
        states = [(job.job_id, job.status.state) for job in expect("BatchQueryJobStatus", batch).data.jobs]
        check("the batch is complete", states == [(request.job_id, "Succeeded")] * 2)
        ids.append("no-such-job")
        batch = self.jobs.BatchQueryJobStatus(job_pb2.BatchQueryJobStatusRequest(job_ids=ids))
        expect("BatchQueryJobStatus with a missing job", batch, 11203, "no-such-job")

    def suspend_restart_cancel(self):
        job_id = self.create_long("long")
        self.until_at_work(job_id)
        restart = job_pb2.RestartJobRequest(job_id=job_id, reason="go on")
        expect("RestartJob while it runs", self.jobs.RestartJob(restart), 11211)
        approve = job_pb2.ApproveJobRequest(job_id=job_id, result=job_pb2.APPROVE_RESULT_ACCEPT)
        expect("ApproveJob of what waits for nobody", self.jobs.ApproveJob(approve), 11206)
        suspend = job_pb2.SuspendJobRequest(job_id=job_id, reason="a pause")
        expect("SuspendJob", self.jobs.SuspendJob(suspend))
        suspended = self.until_state(job_id, "Suspended")
        check("a suspended job has no end", suspended.end_time == "")
        expect("RestartJob", self.jobs.RestartJob(restart))
        self.until_at_work(job_id)
        cancel = job_pb2.CancelJobRequest(job_id=job_id, reason="enough")
        expect("CancelJob", self.jobs.CancelJob(cancel))
        self.until_state(job_id, "Cancelled")
        expect("CancelJob again", self.jobs.CancelJob(cancel))
        expect("SuspendJob of a cancelled job", self.jobs.SuspendJob(suspend), 11210)

    def stop(self):
        job_id = self.create_long("stopped")
        self.until_at_work(job_id)
        expect("StopJob", self.jobs.StopJob(job_pb2.StopJobRequest(job_id=job_id, reason="no more power")))
        check("a stopped job says why it ended", self.until_state(job_id, "Failed").err_msg != "")

    def approve(self, domain):
        job_id = self.create(self.job_request("approved", {"sleep": (50, [])}, ("alice", domain)))
        check("the job waits", self.until_state(job_id, "AwaitingApproval").start_time == "")
        undecided = job_pb2.ApproveJobRequest(job_id=job_id)
        expect("ApproveJob without a result", self.jobs.ApproveJob(undecided), 11100, "result")
        accept = job_pb2.ApproveJobRequest(job_id=job_id, result=job_pb2.APPROVE_RESULT_ACCEPT, reason="fine")
        expect("ApproveJob", self.jobs.ApproveJob(accept))
        status = self.until_state(job_id, "Succeeded")
        decisions = {each.domain_id: each.state for each in status.approve_status_list}
        check("the approval is listed", decisions.get(domain) == "JobAccepted")

    def refusals(self):
        expect("CreateJob without a name", self.jobs.CreateJob(job_pb2.CreateJobRequest()), 11100, "job_id")
        request = self.job_request("circle", {"a": (1, ["b"]), "b": (1, ["a"])})
        expect("CreateJob of a cycle", self.jobs.CreateJob(request), 11100, "cycle")
        missing = job_pb2.DeleteJobRequest(job_id="no-such-job")
        expect("DeleteJob of no job", self.jobs.DeleteJob(missing), 11204, "no-such-job")

    def watch_limits(self):
        for event in self.jobs.WatchJob(job_pb2.WatchJobRequest(timeout_seconds=1)):
            pass
        print("WatchJob ends by itself after timeout_seconds")
        self.expect_error("a deadline", grpc.StatusCode.DEADLINE_EXCEEDED, job_pb2.WatchJobRequest(), timeout=0.5)
        negative = job_pb2.WatchJobRequest(timeout_seconds=-1)
        self.expect_error("a negative time", grpc.StatusCode.INVALID_ARGUMENT, negative)

    def expect_error(self, what, code, request, timeout=PATIENCE):
        try:
            for event in self.jobs.WatchJob(request, timeout=timeout):
                pass
        except grpc.RpcError as error:
            if error.code() == code:
                print(f"WatchJob with {what}: {code.name} {error.details()}")
                return
            fail(f"WatchJob with {what}: wanted {code}, got {error.code()} {error.details()!r}")
        fail(f"WatchJob with {what}: wanted {code}, it ended well")

    def delete_all(self):
        for job_id in self.created:
            request = job_pb2.DeleteJobRequest(job_id=job_id)
            self.watch_until(
                job_id,
                "it is deleted",
                lambda event: event.type == job_pb2.DELETED,
                once_complete=lambda: expect("DeleteJob", self.jobs.DeleteJob(request)),
            )
            gone = self.jobs.QueryJob(job_pb2.QueryJobRequest(job_id=job_id))
            expect("QueryJob of a deleted job", gone, 11202, job_id)
        image = appimage_pb2.DeleteAppImageRequest(name=self.image)
        expect("DeleteAppImage", self.images.DeleteAppImage(image))
        expect("DeleteAppImage again", self.images.DeleteAppImage(image), 13103, self.image)


def main(target, manual_domain=None):
    client = Client(target)
    client.create_image()
    client.two_tasks()
    client.suspend_restart_cancel()
    client.stop()
    if manual_domain is not None:
        client.approve(manual_domain)
    client.refusals()
    client.watch_limits()
    client.delete_all()
    print("python client: all is well")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        fail("usage: client.py http://HOST:PORT [DOMAIN]")
    target, *domain = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="muster-python-") as stubs:
        generate_stubs(stubs)
        from kuscia.proto.api.v1alpha1.kusciaapi import appimage_pb2, appimage_pb2_grpc, job_pb2, job_pb2_grpc

        try:
            main(target.removeprefix("http://"), *domain)
        except grpc.RpcError as error:
            fail(f"a call ended with {error.code()}: {error.details()}")
