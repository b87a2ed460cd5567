#!/usr/bin/env bash
# Every call of the Job API with curl, first as Connect JSON, then as REST; WatchJob as REST, whose frames are lines.
#
#   test/clients/curl.sh http://127.0.0.1:8082 [DOMAIN]
#
# DOMAIN names a domain that approves its jobs by hand (`approval: manual` in muster.yaml); without it nothing waits for
# an approval. Needs bash 4.4, curl and node. Ends with 0, or with 1 and a sentence about the first surprise.
set -euo pipefail

server=${1:?usage: curl.sh http://HOST:PORT [DOMAIN]}
manual=${2:-}
package=kuscia.proto.api.v1alpha1.kusciaapi

fail() {
  echo "curl client: $*" >&2
  exit 1
}

rest_path() {
  case $1 in
    BatchQueryJobStatus) echo job/status/batchQuery ;;
    BatchQueryAppImage) echo appimage/batchQuery ;;
    *AppImage) echo "appimage/$(lower "${1%AppImage}")" ;;
    *Job) echo "job/$(lower "${1%Job}")" ;;
  esac
}

lower() { tr '[:upper:]' '[:lower:]' <<<"$1"; }

post() { curl -sS --max-time 60 -H 'content-type: application/json' "$@"; }

# call CALL BODY CODE [CONDITION]: posts the body, checks the in-band code, and a JavaScript condition on `status` and
# `data`, `false` where there is none.
call() {
  local url service=JobService answer
  [[ $1 == *AppImage ]] && service=AppImageService
  case $style in
    connect) url=$server/$package.$service/$1 ;;
    rest) url=$server/api/v1/$(rest_path "$1") ;;
  esac
  answer=$(post --fail-with-body -d "$2" "$url") || fail "$style $1: $answer"
  node -e '
    const [call, code, condition, answer] = process.argv.slice(1);
    const { status, data } = JSON.parse(answer);
    const holds = status.code === Number(code) && new Function("status", "data", `return ${condition}`)(status, data);
    if (holds) console.log(`${call}: ${status.code} ${status.message}`);
    else console.error(`curl client: ${call}: wanted code ${code} and ${condition}, got ${answer}`);
    process.exitCode = holds ? 0 : 1;
  ' "$style $1" "$3" "${4:-true}" "$answer" || exit 1
}

open_watch() {
  exec {frames}< <(exec curl -sSN --max-time 60 -H 'content-type: application/json' -d '{}' "$server/api/v1/job/watch")
  watching=$!
}

# The first HEARTBEAT ends the snapshot of existing jobs.
await_heartbeat() {
  local line=
  while [[ $line != '{"type":4}' ]]; do read -r line <&"$frames" || fail "the watch ended before its HEARTBEAT"; done
}

# follow JOB CONDITION: prints the job's frames up to the first that the JavaScript condition on `type`, `status` and
# the first `task` holds for, and ends the watch.
follow() {
  node -e '
    const [jobId, condition] = process.argv.slice(1);
    const reached = new Function("type", "status", "task", `return ${condition}`);
    const names = ["ADDED", "MODIFIED", "DELETED", "ERROR", "HEARTBEAT"];
    (async () => {
      for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
        const { type, object } = JSON.parse(line);
        if (type === 3) console.error(line);
        if (object?.job_id !== jobId) continue;
        const { status } = object;
        const tasks = status.tasks.map((task) => `${task.alias} ${task.state}`).join(", ");
        console.log(`  ${names[type]} ${jobId} ${status.state} (${tasks})`);
        if (reached(type, status, status.tasks[0])) process.exit(0);
      }
      console.error(`curl client: the watch of ${jobId} ended before ${condition}`);
      process.exit(1);
    })();
  ' "$1" "$2" <&"$frames" || exit 1
  exec {frames}<&-
  kill "$watching" || true
  wait "$watching" || true
}

until_true() {
  open_watch
  follow "$1" "$2"
}

at_work='task.state === "Running" && task.parties.every((party) => party.state === "Running")'
# Milliseconds; should this script break off, what it started is gone after them.
long=120000

# job NAME INITIATOR OTHER_DOMAIN...: the request for a job of one task, which sleeps for $sleep milliseconds.
job() {
  local parties
  parties=$(printf '{"domain_id":"%s"},' "${@:2}")
  printf '{"job_id":"%s","initiator":"%s","tasks":[{"app_image":"%s","alias":"sleep","parties":[%s],' \
    "$1" "$2" "$image" "${parties%,}"
  printf '"task_input_config":"%s"}]}' "$sleep"
}

create_image() {
  local containers='[{"name":"sleep","command":["node","-e",
    "setTimeout(() => undefined, Number(process.env.TASK_INPUT_CONFIG))"]}]'
  local request='{"name":"'$image'","image":{"name":"example/sleep","tag":"1"},
    "deploy_templates":[{"name":"sleep","replicas":1,"containers":'$containers'}]}'
  call CreateAppImage "$request" 0
  call CreateAppImage "$request" 13106
  call QueryAppImage '{"name":"'"$image"'"}' 0 'data.deploy_templates[0].containers[0].command[0] === "node"'
  call UpdateAppImage '{"name":"'"$image"'","image":{"name":"example/sleep","tag":"2"}}' 0
  call BatchQueryAppImage '{"names":["'"$image"'"]}' 0 'data[0].image.tag === "2"'
  call ListAppImage '{"page_size":"1000"}' 0 'data.appimage_list.some(({ name }) => name === "'"$image"'")'
}

two_tasks() {
  local id=$prefix-two-tasks parties='[{"domain_id":"alice"},{"domain_id":"bob"}]'
  local task='"app_image":"'$image'","task_input_config":"50","parties":'$parties
  local request='{"job_id":"'$id'","initiator":"alice","max_parallelism":2,"custom_fields":{"made-by":"curl"},
    "tasks":[{"alias":"first",'$task'},{"alias":"second","dependencies":["first"],'$task'}]}'
  open_watch
  await_heartbeat
  call CreateJob "$request" 0 'data.job_id === "'"$id"'"'
  follow "$id" 'status.end_time !== undefined'
  call CreateJob "$request" 0
  call CreateJob "${request/\"max_parallelism\":2/\"max_parallelism\":1}" 11201
  call QueryJob '{"job_id":"'"$id"'"}' 0 'data.status.state === "Succeeded" && data.custom_fields["made-by"] === "curl"'
  call QueryJob '{"jobId":"'"$id"'"}' 0 'data.tasks[1].dependencies[0] === "first" && data.tasks[0].priority === 0'
  call QueryJob '{"job_id":"no-such-job"}' 11202 '!data'
  call BatchQueryJobStatus '{"job_ids":["'"$id"'","'"$id"'"]}' 0 \
    'data.jobs.length === 2 && data.jobs[1].status.tasks.every(({ state }) => state === "Succeeded")'
  call BatchQueryJobStatus '{"job_ids":["no-such-job"]}' 11203
  delete "$id"
}

commands() {
  local id=$prefix-long sleep=$long
  local request='{"job_id":"'$id'","reason":"as the script says"}'
  call CreateJob "$(job "$id" alice bob)" 0
  until_true "$id" "$at_work"
  call RestartJob "$request" 11211
  call ApproveJob '{"job_id":"'"$id"'","result":"APPROVE_RESULT_ACCEPT"}' 11206
  call SuspendJob "$request" 0
  until_true "$id" 'status.state === "Suspended"'
  call RestartJob "$request" 0
  until_true "$id" "$at_work"
  call StopJob "$request" 0
  until_true "$id" 'status.state === "Failed"'
  call QueryJob "$request" 0 'data.status.err_msg !== ""'
  call CancelJob "$request" 0
  until_true "$id" 'status.state === "Cancelled"'
  call CancelJob "$request" 0
  call SuspendJob "$request" 11210
  delete "$id"
}

approve() {
  local id=$prefix-approved sleep=50
  call CreateJob "$(job "$id" alice "$manual")" 0
  until_true "$id" 'status.state === "AwaitingApproval"'
  call ApproveJob '{"job_id":"'"$id"'"}' 11100
  call ApproveJob '{"job_id":"'"$id"'","result":1}' 0
  until_true "$id" 'status.state === "Succeeded"'
  delete "$id"
}

delete() {
  open_watch
  await_heartbeat
  call DeleteJob '{"job_id":"'"$1"'"}' 0
  follow "$1" 'type === 2'
  call DeleteJob '{"job_id":"'"$1"'"}' 11204
}

# answers WANTED ARGUMENTS...: the HTTP status and the body that curl gets.
answers() {
  local got
  got=$(curl -sS --max-time 60 -w '%{http_code} ' "${@:2}")
  [[ $got == $1 ]] || fail "${*:2}: wanted $1, got $got"
  echo "$got"
}

edges() {
  local query=$server/api/v1/job/query
  call CreateJob '{}' 11100 'status.message.startsWith("job_id")'
  style=rest call QueryJob 'not JSON' 11101 'data === undefined'
  local json='content-type: application/json'
  answers '{"code":"invalid_argument",*}400 ' -H "$json" -d '{' "$server/$package.JobService/QueryJob"
  answers '*content type*415 ' -d '{"job_id":"x"}' "$query"
  answers '404 page not found404 ' "$query"
  answers '*"code":11202*"data":null}200 ' --http2-prior-knowledge -H "$json" -d '{"job_id":"x"}' "$query"
  # A page of another site in the developer's browser.
  answers '*403 ' -H 'origin: https://example.com' -H "$json" -d '{"job_id":"x"}' "$query"
}

for style in connect rest; do
  prefix=curl-$style-$$
  image=$prefix-sleep
  create_image
  two_tasks
  commands
  [[ -z $manual ]] || approve
  call DeleteAppImage '{"name":"'"$image"'"}' 0
  call DeleteAppImage '{"name":"'"$image"'"}' 13103
done
edges
echo "curl client: all is well"
