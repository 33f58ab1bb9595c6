#!/bin/sh
# Regenerates what is generated: the Go of coordinator/api/v1, the loops of
# pipeline/kernel in assembler, the descriptions of fields, and docs/reference.
set -eu
cd "$(dirname "$0")/.."
tools/build.sh buf protoc-gen-go protoc-gen-connect-go protoc-gen-connect-openapi
.cache/tools/buf lint
.cache/tools/buf generate

# The plugin keeps the blank behind // of a comment's second line, and asks for a
# header that the server does without. The first line says what the file came of.
out=docs/reference/openapi.yaml
{
	echo "# By make generate, from coordinator/api/v1/coordinator.proto, whose sum is $(cksum <coordinator/api/v1/coordinator.proto)"
	awk '/name: Connect-Protocol-Version/ { header = 1 }
		header && /required: true/ { header = 0; next }
		match($0, /[^ ]/) % 2 == 0 { sub(/^ /, "") }
		{ print }' $out
} >$out.new
mv $out.new $out

go generate ./pipeline/kernel

# Where descriptions have changed, the first run ends with these, and the second makes the
# reference of them.
reference() { go test -count=1 -run '^TestTheReferenceIsCurrent$' ./cmd/thalweg -update; }
reference >/dev/null || reference
