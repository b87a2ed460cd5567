#!/bin/sh
# Generates Go code from proto/ into a temporary folder, builds the client with it and runs that:
#
#   test/clients/go/run.sh http://127.0.0.1:8082 [DOMAIN]
#
# Made for the Go packages of Debian 12, which lie under /usr/share/gocode and need no module proxy (docs/clients.md).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../proto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/src"
api=kuscia/proto/api/v1alpha1
protoc -I "$proto" --go_out="$work/src" --go-grpc_out="$work/src" \
  "$api/common.proto" "$api/kusciaapi/job.proto" "$api/kusciaapi/appimage.proto"
export GO111MODULE=off GOPATH="$work:/usr/share/gocode" GOFLAGS=
go build -o "$work/client" "$here"/*.go
"$work/client" "$@"
