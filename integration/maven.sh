#!/bin/sh
# maven.sh NAME GOAL...: has Maven put what integration/NAME/pom.xml names, and
# what that needs, into .cache/NAME, once for each version of the pom.xml.
set -eu
cd "$(dirname "$0")/.."
name=$1
shift
out="$PWD/.cache/$name"
stamp=$(cksum <"integration/$name/pom.xml")
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v mvn >/dev/null || { echo "integration/maven.sh: Maven is missing (Debian: apt-get install maven)" >&2; exit 1; }
echo "fetching what integration/$name needs" >&2
rm -rf "$out"
mvn -q -B -ntp -Dstyle.color=never -f "integration/$name/pom.xml" "$@" -DoutputDirectory="$out"
printf '%s\n' "$stamp" >"$out/.from"
