#!/bin/sh
# Regenerates what is generated: the Go of coordinator/api/v1.
set -eu
cd "$(dirname "$0")/.."
tools/build.sh buf protoc-gen-go protoc-gen-connect-go
.cache/tools/buf lint
.cache/tools/buf generate
