#!/usr/bin/env bash
# Every call of the Job API with `buf curl` and no .proto file: it asks the server for them by reflection. First over
# gRPC, then over gRPC-Web and Connect.
#
#   test/clients/buf-curl.sh http://127.0.0.1:8082 [DOMAIN]
#
# DOMAIN names a domain that approves its jobs by hand (`approval: manual` in muster.yaml); without it nothing waits for
# an approval. Needs bash 4.4, node and `npm ci`. Ends with 0, or with 1 and a sentence about the first surprise.
set -euo pipefail

server=${1:?usage: buf-curl.sh http://HOST:PORT [DOMAIN]}
manual=${2:-}
package=kuscia.proto.api.v1alpha1.kusciaapi
# The program itself starts faster than the wrapper that npm puts before it, and ends when it is told to.
buf=("$(dirname "$0")"/../../node_modules/@bufbuild/buf-*/bin/buf)
[[ -x ${buf[0]} ]] || buf=(npx buf)

fail() {
  echo "buf curl client: $*" >&2
  exit 1
}

buf_curl() { "${buf[@]}" curl --http2-prior-knowledge "$@"; }

# call CALL BODY CODE [CONDITION]: calls, checks the in-band code (which is left out where it is 0), and a JavaScript
# condition on `data`, undefined where there is none.
call() {
  local service=JobService answer
  [[ $1 == *AppImage ]] && service=AppImageService
  answer=$(buf_curl --protocol "$protocol" -d "$2" "$server/$package.$service/$1") || fail "$protocol $1: exit code $?"
  node -e '
    const [call, code, condition, answer] = process.argv.slice(1);
    const { status, data } = JSON.parse(answer);
    const holds = (status.code ?? 0) === Number(code) && new Function("data", `return ${condition}`)(data);
    if (holds) console.log(`${call}: ${code} ${status.message}`);
    else console.error(`buf curl client: ${call}: wanted code ${code} and ${condition}, got ${answer}`);
    process.exitCode = holds ? 0 : 1;
  ' "$protocol $1" "$3" "${4:-true}" "$answer" || exit 1
}

# watch JOB CONDITION: prints the job's frames up to the first that the JavaScript condition on `type`, `status` and the
# first `task` holds for. A third argument is a job to delete once the first HEARTBEAT has ended the snapshot.
watch() {
  exec {frames}< <(exec "${buf[@]}" curl --http2-prior-knowledge --protocol "$protocol" -d '{"timeoutSeconds":60}' \
    "$server/$package.JobService/WatchJob")
  local watching=$!
  [[ -z ${3:-} ]] || { await_heartbeat; call DeleteJob '{"jobId":"'"$3"'"}' 0; }
  node -e '
    const [jobId, condition] = process.argv.slice(1);
    const reached = new Function("type", "status", "task", `return ${condition}`);
    (async () => {
      let text = "";
      for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
        text += line;
        // Frames are printed over several lines; the last is a brace at the margin.
        if (line !== "}") continue;
        const { type = "ADDED", object } = JSON.parse(text);
        text = "";
        if (object?.jobId !== jobId) continue;
        const { status } = object;
        console.log(`  ${type} ${jobId} ${status.state} (${status.tasks.map((task) => task.state).join(", ")})`);
        if (reached(type, status, status.tasks[0])) process.exit(0);
      }
      console.error(`buf curl client: the watch of ${jobId} ended before ${condition}`);
      process.exit(1);
    })();
  ' "$1" "$2" <&"$frames" || exit 1
  exec {frames}<&-
  # It would report the other signals as an error of the call.
  kill -KILL "$watching" || true
  wait "$watching" || true
}

await_heartbeat() {
  local line=
  until [[ $line == *'"HEARTBEAT"'* ]]; do read -r line <&"$frames" || fail "the watch ended before its HEARTBEAT"; done
  # What else the frame says, up to the brace at the margin.
  until [[ $line == '}' ]]; do IFS= read -r line <&"$frames" || fail "the watch ended inside its HEARTBEAT"; done
}

at_work='task.state === "Running" && task.parties.every((party) => party.state === "Running")'

# create NAME MILLISECONDS DOMAIN...: creates a job of one task, which sleeps so long in each domain.
create() {
  local parties
  parties=$(printf '{"domainId":"%s"},' "${@:3}")
  call CreateJob '{"jobId":"'"$1"'","initiator":"alice","tasks":[{"appImage":"'"$image"'","alias":"sleep",
    "taskInputConfig":"'"$2"'","parties":['"${parties%,}"']}]}' 0 'data.jobId === "'"$1"'"'
}

life() {
  local id=$prefix-long ids
  local request='{"jobId":"'$id'"}'
  call CreateAppImage '{"name":"'"$image"'","image":{"name":"example/sleep"},
    "deployTemplates":[{"name":"sleep","replicas":1,"containers":[{"name":"sleep","command":["node","-e",
      "setTimeout(() => undefined, Number(process.env.TASK_INPUT_CONFIG))"]}]}]}' 0
  # Should this script break off, what it started is gone after two minutes.
  create "$id" 120000 alice bob
  watch "$id" "$at_work"
  call QueryJob "$request" 0 'data.initiator === "alice" && data.status.state === "Running"'
  call QueryJob '{"job_id":"no-such-job"}' 11202 '!data'
  call BatchQueryJobStatus '{"jobIds":["'"$id"'"]}' 0 'data.jobs[0].status.tasks[0].parties.length === 2'
  call ApproveJob '{"jobId":"'"$id"'","result":"APPROVE_RESULT_ACCEPT"}' 11206
  call SuspendJob "$request" 0
  watch "$id" 'status.state === "Suspended"'
  call RestartJob "$request" 0
  watch "$id" "$at_work"
  call StopJob "$request" 0
  watch "$id" 'status.state === "Failed"'
  call CancelJob "$request" 0
  watch "$id" 'status.state === "Cancelled"'
  watch "$id" 'type === "DELETED"' "$id"
  if [[ -n $manual ]]; then
    id=$prefix-approved
    create "$id" 50 alice "$manual"
    watch "$id" 'status.state === "AwaitingApproval"'
    call ApproveJob '{"jobId":"'"$id"'","result":"APPROVE_RESULT_ACCEPT"}' 0
    watch "$id" 'status.state === "Succeeded"'
    watch "$id" 'type === "DELETED"' "$id"
  fi
  call DeleteAppImage '{"name":"'"$image"'"}' 0
}

for version in grpc-v1 grpc-v1alpha; do
  services=$(buf_curl --reflect-protocol "$version" --list-services "$server")
  for service in $package.JobService $package.AppImageService $package.HealthService grpc.health.v1.Health; do
    grep -qxF "$service" <<<"$services" || fail "$version reflection does not list $service, but: $services"
  done
done
echo "$services"
health=$(buf_curl --protocol grpc -d '{}' "$server/grpc.health.v1.Health/Check")
[[ $health == *'"SERVING"'* ]] || fail "health: $health"

for protocol in grpc grpcweb connect; do
  prefix=buf-$protocol-$$
  image=$prefix-sleep
  life
done

# An error of the call itself: the exit code is 8 times the gRPC code.
code=0
message=$(buf_curl --protocol grpc -d '{"timeoutSeconds":-1}' "$server/$package.JobService/WatchJob" 2>&1) || code=$?
[[ $code == 24 && $message == *timeout_seconds* ]] || fail "a negative time: exit code $code, $message"
echo "buf curl client: all is well"
