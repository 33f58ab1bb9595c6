#!/bin/sh
# Has pip install the readers of the table into .cache/python, once for each
# version of requirements.txt. Needs Python 3.
set -eu
cd "$(dirname "$0")/../.."
out="$PWD/.cache/python"
stamp=$(cksum <integration/readers/requirements.txt)
if [ "$(cat "$out/.from" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
command -v python3 >/dev/null || { echo "integration/readers/install.sh: Python 3 is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
echo "fetching pandas, DuckDB and their readers of Delta tables" >&2
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/pip" install -q --disable-pip-version-check -r integration/readers/requirements.txt
printf '%s\n' "$stamp" >"$out/.from"
