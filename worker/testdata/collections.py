"""Writes collections.json: the CSV test files of packages, and what they hold by the packages'
own word; for csvkit and agate, which have none, by Python's csv in strict mode.

    npm pack csv-spectrum@2.0.0 papaparse@5.7.1
    pip download --no-deps --no-binary csvkit,agate csvkit==2.2.0 agate==1.14.2
    for f in *.tgz *.tar.gz; do mkdir $f.d && tar xzf $f -C $f.d --strip-components=1; done
    python3 collections.py . > collections.json      # needs node: Papa Parse's cases are JavaScript

Licences of the files: collections.LICENSE.
"""

import base64
import csv
import glob
import io
import json
import os
import subprocess
import sys

root = sys.argv[1]
most = 2500  # bytes of a file
cases = []


def add(name, text, rows, header=False, **options):
    """rows: lists of texts; a blank line is no row."""
    width = len(rows[0]) if rows else 1
    form = {"type": "csv", "null_text": "\\N", **options}
    if not header:
        form |= {"header": False, "columns": [f"c{i}" for i in range(width)]}
    cases.append({"name": name, "format": form, "text": base64.b64encode(text).decode(), "columns": rows.pop(0) if header and rows else form.get("columns", []), "rows": rows})


def reads(text):
    """What Python's csv makes of it, up to what it refuses, and that."""
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if row and row != [""]:
                rows.append(row)
    except csv.Error as e:
        rows.append([f"python: {e}"])
    return rows


for path in sorted(glob.glob(f"{root}/csv-spectrum*.d/csvs/*.csv")):
    said = json.load(open(path.replace("csvs", "json").replace(".csv", ".json"), encoding="utf-8-sig"))
    if isinstance(said, dict):  # location_coordinates, whose number is another than in the CSV
        said = [said | {"Contact Phone Number": "2095257564"}]
    add("csv-spectrum/" + os.path.basename(path), open(path, "rb").read(), [list(said[0])] + [list(r.values()) for r in said], header=True)

script = """
const src = require('fs').readFileSync(process.argv[1], 'utf8'), out = [];
for (const set of ['CORE_PARSER_TESTS', 'PARSE_TESTS']) {
  const begin = src.indexOf('[', src.indexOf('var ' + set + ' = ')), end = src.indexOf('\\n];', begin);
  const RECORD_SEP = String.fromCharCode(30), UNIT_SEP = String.fromCharCode(31), BASE_PATH = '', FILES_ENABLED = false;
  const Papa = {BYTE_ORDER_MARK: '\\ufeff', RECORD_SEP, UNIT_SEP};
  for (const t of eval(src.slice(begin, end + 2)))
    out.push({name: t.description, input: t.input, config: t.config || {}, functions: Object.values(t.config || {}).some(v => typeof v == 'function'), ...t.expected});
}
console.log(JSON.stringify(out));
"""
(papa,) = glob.glob(f"{root}/papaparse*.d/tests/test-cases.js")
for n, t in enumerate(json.loads(subprocess.run(["node", "-e", script, papa], stdout=subprocess.PIPE, check=True).stdout)):
    c = t["config"]
    # What is no reading of fields: types, rows of blanks that are left out, transformations, previews, skipped lines, names of
    # double columns, and delimiters and comments of several characters.
    if t["functions"] or not t["input"] or {"dynamicTyping", "preview", "skipFirstNLines", "fastMode"} & set(c) or c.get("skipEmptyLines") == "greedy" or t["name"].startswith(("Duplicate", "Simple duplicated")):
        continue
    if len(c.get("delimiter", ",")) > 1 or c.get("delimiter") == "\n" or not isinstance(c.get("comments", True), (bool, str)) or len(str(c.get("comments", "#"))) > 1 and c["comments"] is not True:
        continue
    options = {}
    delimiter = c.get("delimiter") or (t.get("meta") or {}).get("delimiter") or next(d for d in ",|;\t," if d in t["input"] or d == ",")
    if "guessed" in t["name"] or "row one" in t["input"]:
        delimiter = {"o": "|", "a": ",", '"': ";", "F": ";", "i": ";"}[t["input"][0]]
    if delimiter != ",":
        options["delimiter"] = delimiter
    for theirs, ours in {"quoteChar": "quote", "escapeChar": "escape"}.items():
        if theirs in c:
            options[ours] = c[theirs]
    if c.get("comments"):
        options["comment"] = "#" if c["comments"] is True else c["comments"]
    header = bool(c.get("header"))
    rows = [(list(r.values()) if isinstance(r, dict) else r) for r in t["data"]]
    rows = [sum((f if isinstance(f, list) else [f] for f in r), []) for r in rows if r != [""]]
    if header:
        names = [k for k in t["data"][0] if k != "__parsed_extra"] if t["data"] else []
        if len(names) < t["input"].split("\n")[0].count(delimiter) + 1:
            names = t["input"].split("\n")[0].strip().split(delimiter)
        rows.insert(0, names)
    add(f"papaparse/{n} {t['name']}", t["input"].encode(), rows, header=header, **options)

for path in sorted(glob.glob(f"{root}/csvkit*.d/examples/**/*.csv", recursive=True) + glob.glob(f"{root}/agate*.d/examples/**/*.csv", recursive=True)):
    name = os.path.relpath(path, root).replace(".tar.gz.d/examples", "")
    data = open(path, "rb").read()
    if os.path.basename(path) not in ("ks_1033_data.csv",) and len(data) > most:
        continue
    if len(data) > most:
        data = data[: data.rindex(b"\n", 0, most) + 1]
    options = {}
    encoding = {"latin1": "iso-8859-1", "utf16_big": "utf-16be", "utf16_little": "utf-16le"}.get(next((e for e in ("latin1", "utf16_big", "utf16_little") if e in name), ""), "utf-8")
    if encoding != "utf-8":
        options["encoding"] = encoding
    text = data.decode({"utf-8": "utf-8-sig"}.get(encoding, encoding)).lstrip("\ufeff")
    add(name, data, reads(text), header="no_header" not in name, **options)

seen, unique = set(), []
for c in cases:
    if (key := (c["text"], json.dumps(c["format"]))) not in seen:
        seen.add(key)
        unique.append(c)
print("[" + ",\n".join(json.dumps(c) for c in unique) + "]")
