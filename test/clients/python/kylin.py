"""A Python client of the Kylin job API, in the manner of kylinpy, on the standard library alone.

    python3 test/clients/python/kylin.py http://127.0.0.1:8082 [TOKEN]

TOKEN is a master token; it is the password of Basic authentication, with a user name that says nothing. Jobs are not
made through this API, so the client makes its own through Kuscia's REST. Ends with 0, or with 1 and a sentence about the
first surprise.
"""

import base64
import http.client
import json
import os
import sys
import time
import urllib.parse

V2 = "application/vnd.apache.kylin-v2+json"
# Seconds; far more than anything here takes.
PATIENCE = 60


def fail(message):
    sys.exit(f"kylin client: {message}")


def check(what, condition):
    if not condition:
        fail(f"{what} does not hold")
    print(f"{what}: yes")


class KylinError(Exception):
    """What the server says in the field `exception`."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class BadRequest(KylinError):
    pass


class Unauthorized(KylinError):
    pass


class Forbidden(KylinError):
    pass


class NotFound(KylinError):
    pass


ERRORS = {400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound}


class Kylin:
    def __init__(self, url, password):
        self.host = urllib.parse.urlsplit(url).netloc
        pair = base64.b64encode(f"ADMIN:{password}".encode()).decode()
        self.headers = {"Accept": V2, "Accept-Language": "en", "Authorization": f"Basic {pair}"}

    def request(self, method, path, query=None):
        """Sends no body and no content type. Gives `data` where the answer is of the v2 type, as old clients do."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            target = f"/kylin/api{path}" + (f"?{urllib.parse.urlencode(query, doseq=True)}" if query else "")
            connection.request(method, target, headers=self.headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        answer = json.loads(text)
        if response.status != 200:
            raise ERRORS.get(response.status, KylinError)(response.status, answer["exception"])
        if not response.headers["Content-Type"].startswith(V2):
            fail(f"{method} {path} answered {response.headers['Content-Type']}")
        return answer["data"]

    def jobs(self, **query):
        return self.request("GET", "/jobs", {"timeFilter": 4, "pageSize": 20, "pageOffset": 0, **query})["jobs"]

    def job(self, job_id):
        return self.request("GET", f"/jobs/{job_id}")

    def output(self, job_id, step_id):
        return self.request("GET", f"/jobs/{job_id}/steps/{step_id}/output")["cmd_output"]

    def pause(self, job_id):
        return self.request("PUT", f"/jobs/{job_id}/pause")

    def resume(self, job_id):
        return self.request("PUT", f"/jobs/{job_id}/resume", {"jobId": job_id})

    def cancel(self, job_id):
        return self.request("PUT", f"/jobs/{job_id}/cancel")

    def drop(self, job_id):
        return self.request("DELETE", f"/jobs/{job_id}/drop")

    def poll(self, job_id, status):
        """Asks again and again, since this API has nothing to follow a job with."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["job_status"] == status:
                return job
            time.sleep(0.05)
        fail(f"job {job_id} has not become {status}: {job}")


def kuscia(url, token, path, request):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "Token": token}
    connection.request("POST", f"/api/v1/{path}", json.dumps(request), headers)
    status = json.loads(connection.getresponse().read())["status"]
    connection.close()
    if status["code"] != 0:
        fail(f"{path}: {status}")


def refusal(kind, call, *arguments):
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    fail(f"{call.__name__} of {arguments} was not refused")


def make_job(url, token, job_id):
    """Two steps: one that prints, and one that waits until it is told to end."""
    image = f"{job_id}-image"
    templates = [{"name": "t", "containers": [{"name": "c", "command": ["sh", "-c", 'eval "$TASK_INPUT_CONFIG"']}]}]
    kuscia(url, token, "appimage/create", {"name": image, "image": {"name": image}, "deploy_templates": templates})
    party = [{"domain_id": "alice"}]
    tasks = [
        {"alias": "wait", "app_image": image, "parties": party, "dependencies": ["print"], "task_input_config": f"exec sleep {2 * PATIENCE}"},
        {"alias": "print", "app_image": image, "parties": party, "task_input_config": "echo hello"},
    ]
    fields = {"kylin.type": "BUILD", "kylin.project": job_id, "kylin.cube": "sales"}
    kuscia(url, token, "job/create", {"job_id": job_id, "initiator": "alice", "tasks": tasks, "custom_fields": fields})


def main(url, token=""):
    kylin = Kylin(url, token)
    job_id = f"kylinpy-{os.getpid()}"
    make_job(url, token, job_id)

    if token:
        check("a wrong password is refused", refusal(Unauthorized, Kylin(url, "KYLIN").jobs))
    check("the job is listed", [job["uuid"] for job in kylin.jobs(projectName=job_id.upper())] == [job_id])
    kylin.poll(job_id, "RUNNING")
    deadline = time.monotonic() + PATIENCE
    while kylin.job(job_id)["steps"][1]["step_status"] != "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.05)
    job = kylin.job(job_id)
    check("steps are in the order of work", [step["name"] for step in job["steps"]] == ["print", "wait"])
    check("half of the steps are finished", job["progress"] == 50)
    check("its times are filled", job["exec_start_time"] > 1_500_000_000_000 and job["exec_end_time"] == 0)
    check("the output is what the step wrote", kylin.output(job_id, f"{job_id}-00") == "hello\n")
    check("it is found by its status", [j["uuid"] for j in kylin.jobs(status=[2, 8], jobName=job_id)] == [job_id])
    check("it cannot be dropped", "RUNNING" in refusal(BadRequest, kylin.drop, job_id))

    check("pause shows STOPPED", kylin.pause(job_id)["job_status"] == "STOPPED")
    check("a second pause changes nothing", kylin.pause(job_id)["job_status"] == "STOPPED")
    resumed = kylin.resume(job_id)
    check("resume shows PENDING", resumed["job_status"] == "PENDING")
    check("what was finished stays", resumed["steps"][0]["step_status"] == "FINISHED")
    check("the pause is counted", resumed["exec_interrupt_time"] > 0)
    kylin.poll(job_id, "RUNNING")
    check("a running job cannot be resumed", "RUNNING" in refusal(BadRequest, kylin.resume, job_id))

    cancelled = kylin.cancel(job_id)
    check("cancel shows DISCARDED", cancelled["job_status"] == "DISCARDED")
    check("progress is kept", cancelled["progress"] == 50)
    check("a job that is cancelled cannot be paused", "DISCARDED" in refusal(BadRequest, kylin.pause, job_id))
    check("drop gives the job back", kylin.drop(job_id)["uuid"] == job_id)
    deadline = time.monotonic() + PATIENCE
    while kylin.jobs(jobName=job_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    check("it is gone", job_id in refusal(NotFound, kylin.job, job_id))
    check("and cannot be dropped again", job_id in refusal(NotFound, kylin.drop, job_id))
    kuscia(url, token, "appimage/delete", {"name": f"{job_id}-image"})
    print("all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
