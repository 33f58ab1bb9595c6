#!/bin/sh
# Builds the named tools into .cache/tools. Each is pinned by a module file of
# its own (tools/*.mod), so that the product's go.mod knows nothing of them. A
# tool is built again only when its module file or the Go toolchain changes.
# Needs nothing but Go; works offline once the modules are cached.
#
#   tools/build.sh golangci-lint minio
set -eu
cd "$(dirname "$0")/.."
out="$PWD/.cache/tools"
mkdir -p "$out"

for tool in "$@"; do
	case "$tool" in
	buf)                   mod=buf           package=github.com/bufbuild/buf/cmd/buf ;;
	protoc-gen-go)         mod=protoc        package=google.golang.org/protobuf/cmd/protoc-gen-go ;;
	protoc-gen-connect-go) mod=protoc        package=connectrpc.com/connect/cmd/protoc-gen-connect-go ;;
	protoc-gen-connect-openapi) mod=openapi package=github.com/sudorandom/protoc-gen-connect-openapi ;;
	golangci-lint)         mod=golangci-lint package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
	benchstat)             mod=benchstat     package=golang.org/x/perf/cmd/benchstat ;;
	minio)                 mod=minio         package=github.com/minio/minio ;;
	*) echo "tools/build.sh: no tool is called $tool" >&2; exit 1 ;;
	esac
	# The stamp holds what the binary was built from.
	stamp="$(go version) $(cksum <"tools/$mod.mod") $(cksum <"tools/$mod.sum")"
	if [ -x "$out/$tool" ] && [ "$(cat "$out/$tool.from" 2>/dev/null)" = "$stamp" ]; then
		continue
	fi
	echo "building $tool" >&2
	go build -modfile="tools/$mod.mod" -o "$out/$tool" "$package"
	printf '%s\n' "$stamp" >"$out/$tool.from"
done
