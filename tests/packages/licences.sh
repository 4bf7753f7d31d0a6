#!/bin/sh
# Every library that the program and its plugins are linked with is in ci/licences.txt, and what ci/licences writes is SPDX. $1: the source tree, $2: the build.
. "$(dirname "$0")/../support/tap.sh"
source=$1 build=$2
mkdir "$work/root"
find "$build/apps/headct" "$build/core" "$build/backends" "$build/plugins" -type f \( -name headct -o -name 'lib*.so.*' -o -name '*.so' \) -exec cp {} "$work/root" \;
"$source/ci/licences" "$work/root" 1.2.3 >"$work/spdx" 2>"$work/said"
status=$?
sed 's/^/# /' "$work/said"
check "the licence of every linked library is known" test $status -eq 0
check "the document has what SPDX 2.3 asks for" python3 - "$work/spdx" <<'P'
import json, re, sys
d = json.load(open(sys.argv[1]))
assert d["spdxVersion"] == "SPDX-2.3" and d["SPDXID"] == "SPDXRef-DOCUMENT" and d["dataLicense"] == "CC0-1.0"
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", d["creationInfo"]["created"])
names = {p["SPDXID"]: p for p in d["packages"]}
assert {"SPDXRef-headct", "SPDXRef-SQLite", "SPDXRef-glibc"} <= set(names)
for p in d["packages"]:
    assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", p["SPDXID"]) and p["licenseDeclared"] and p["downloadLocation"]
own = {x["licenseId"] for x in d["hasExtractedLicensingInfos"]}
used = set(re.findall(r"LicenseRef-[A-Za-z0-9.-]+", " ".join(p["licenseDeclared"] for p in d["packages"])))
assert own == used, (own, used)
assert {r["relatedSpdxElement"] for r in d["relationships"]} == set(names)
P
mkdir "$work/foreign"
echo 'int planted(void) { return 0; }' >"$work/planted.c"
echo 'int planted(void); int main(void) { return planted(); }' >"$work/uses.c"
cc -shared -fPIC -o "$work/libplanted.so" -Wl,-soname,libplanted.so.9 "$work/planted.c" && cc -o "$work/foreign/uses" "$work/uses.c" "$work/libplanted.so"
refuses 1 "libplanted, which ci/licences.txt does not name" "a library that nobody has looked at is named" "$source/ci/licences" "$work/foreign" 1
done_testing
