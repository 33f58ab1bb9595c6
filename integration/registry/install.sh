#!/bin/sh
# Has Maven unpack Apicurio Registry into .cache/registry, once for each version
# of pom.xml. Needs Java 17 and Maven.
set -eu
cd "$(dirname "$0")/../.."
out="$PWD/.cache/registry"
stamp=$(cksum <integration/registry/pom.xml)
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v mvn >/dev/null || { echo "integration/registry/install.sh: Maven is missing (Debian: apt-get install maven)" >&2; exit 1; }
echo "fetching Apicurio Registry" >&2
rm -rf "$out"
mvn -q -B -ntp -Dstyle.color=never -f integration/registry/pom.xml dependency:unpack-dependencies -DoutputDirectory="$out" -DmarkersDirectory="$out/.markers"
printf '%s\n' "$stamp" >"$out/.from"
