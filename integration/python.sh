#!/bin/sh
# Has pip install what integration/$1/requirements.txt lists into .cache/python/$1,
# once for each version of that file. Needs Python 3.
set -eu
cd "$(dirname "$0")/.."
list="integration/$1/requirements.txt"
out="$PWD/.cache/python/$1"
stamp=$(cksum <"$list")
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v python3 >/dev/null || { echo "integration/python.sh: Python 3 is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
echo "fetching $(sed -n '1s/^# *//p' "$list")" >&2
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/pip" install -q --disable-pip-version-check -r "$list"
printf '%s\n' "$stamp" >"$out/.from"
