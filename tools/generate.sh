#!/bin/sh
# Regenerates what is generated: the Go of coordinator/api/v1. The tools are
# pinned by module files of their own (tools/buf.mod, tools/protoc.mod), so that
# the product's go.mod knows nothing of them, and are built once into
# .cache/tools. Needs nothing but Go; works offline once the modules are cached.
set -eu
cd "$(dirname "$0")/.."
out="$PWD/.cache/tools"
mkdir -p "$out"

build() { # module file, package, binary
	if [ ! -x "$out/$3" ] || [ "$1" -nt "$out/$3" ]; then
		echo "building $3" >&2
		go build -modfile="$1" -o "$out/$3" "$2"
	fi
}
build tools/buf.mod github.com/bufbuild/buf/cmd/buf buf
build tools/protoc.mod google.golang.org/protobuf/cmd/protoc-gen-go protoc-gen-go
build tools/protoc.mod connectrpc.com/connect/cmd/protoc-gen-connect-go protoc-gen-connect-go

"$out/buf" lint
"$out/buf" generate
