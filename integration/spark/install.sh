#!/bin/sh
# Has Maven copy Apache Spark, Delta Lake and what they need into .cache/spark,
# once for each version of pom.xml. Needs Maven.
set -eu
cd "$(dirname "$0")/../.."
out="$PWD/.cache/spark"
stamp=$(cksum <integration/spark/pom.xml)
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v mvn >/dev/null || { echo "integration/spark/install.sh: Maven is missing (Debian: apt-get install maven)" >&2; exit 1; }
echo "fetching Apache Spark" >&2
rm -rf "$out"
mvn -q -B -ntp -Dstyle.color=never -f integration/spark/pom.xml dependency:copy-dependencies -DoutputDirectory="$out"
printf '%s\n' "$stamp" >"$out/.from"
