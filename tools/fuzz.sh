#!/bin/sh
# Runs every fuzz target of the module for the given time each, stopping at the
# first that fails.
#
#   tools/fuzz.sh 30s
set -eu
cd "$(dirname "$0")/.."
duration=${1:-30s}
git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u | while read -r dir; do
	git grep -hoE '^func Fuzz[A-Za-z0-9_]*' -- "$dir"/*_test.go | sed 's/^func //' | while read -r target; do
		echo "== $dir $target"
		# By default an input that reaches new code is made smaller for up to a minute:
		# with inputs of kilobytes, nothing else happens in that time.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 100x "./$dir" </dev/null
	done
done
