#!/bin/sh
# Has Maven copy Apache Kafka and what it needs into .cache/kafka, once for each
# version of pom.xml. Needs Java 17 and Maven.
set -eu
cd "$(dirname "$0")/../.."
out="$PWD/.cache/kafka"
stamp=$(cksum <integration/kafka/pom.xml)
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v mvn >/dev/null || { echo "integration/kafka/install.sh: Maven is missing (Debian: apt-get install maven)" >&2; exit 1; }
echo "fetching Apache Kafka" >&2
rm -rf "$out"
mvn -q -B -ntp -Dstyle.color=never -f integration/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$out"
printf '%s\n' "$stamp" >"$out/.from"
