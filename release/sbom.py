#!/usr/bin/python3
"""Prints what a release contains, as SPDX 2.3 in JSON: sbom.py VERSION DIR
DIR holds the finished files; static/ has left the versions of what it has linked in
build/static/src.  PROJECT_URL, MAINTAINER and SOURCE_DATE_EPOCH come from make."""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHS = re.search(r"^RELEASES = (.*)$", (
    ROOT / "static/arch.mk").read_text(), re.M)[1].split()
URL = os.environ["PROJECT_URL"]
MAINTAINER = os.environ["MAINTAINER"]
LIBRARIES = {   # of Debian's source packages
    "mbedtls": {
        "name": "Mbed TLS", "licence": "Apache-2.0 OR GPL-2.0-or-later",
        "holder": "The Mbed TLS Contributors", "cpe": "arm:mbed_tls",
        "home": "https://www.trustedfirmware.org/projects/mbed-tls/"},
    "musl": {
        "name": "musl", "licence": "MIT", "cpe": "musl-libc:musl",
        "holder": "Rich Felker, et al.", "home": "https://musl.libc.org/"},
}


def digest(kind, data):
    return {"algorithm": kind.upper(),
            "checksumValue": hashlib.new(kind, data).hexdigest()}


def package(ident, name, version, licence, **more):
    return {"SPDXID": "SPDXRef-" + ident, "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "licenseConcluded": licence, "licenseDeclared": licence,
            "copyrightText": "NOASSERTION", **more}


def reference(category, kind, locator):
    return {"referenceCategory": category, "referenceType": kind,
            "referenceLocator": locator}


def xapsd(version):
    return package(
        "xapsd", "xapsd", version, "MIT",
        supplier="Organization: " + re.sub(r" <(.*)>", r" (\1)", MAINTAINER),
        downloadLocation="%s/releases" % URL, homepage=URL,
        copyrightText=re.search("^Copyright .*", (
            ROOT / "LICENSE").read_text(), re.M)[0],
        primaryPackagePurpose="APPLICATION",
        externalRefs=[reference("PACKAGE-MANAGER", "purl",
                                "pkg:generic/xapsd@" + version)])


def library(source):
    """As it was unpacked by static/source.sh, with Debian's changes."""
    about = LIBRARIES[source]
    version = (ROOT / "build/static/src" / source / ".version"
               ).read_text().strip()
    upstream = re.sub(r"^\d+:|[+-].*", "", version)
    return package(
        source, about["name"], version, about["licence"],
        supplier="Organization: Debian", originator=(
            "Organization: " + about["holder"]), homepage=about["home"],
        comment="Debian's source package %s %s, linked statically" % (
            source, version),
        primaryPackagePurpose="LIBRARY", externalRefs=[
            reference("SECURITY", "cpe23Type", "cpe:2.3:a:%s:%s:*:*:*:*:*:*:*" %
                      (about["cpe"], upstream)),
            reference("PACKAGE-MANAGER", "purl",
                      "pkg:deb/debian/%s@%s?arch=source" % (source, version))])


def libgcc():
    """Functions that the compiler calls."""
    version = subprocess.run(
        [os.environ.get("CC", "cc"), "-dumpfullversion"], check=True, text=True,
        stdout=subprocess.PIPE).stdout.strip()
    return package(
        "libgcc", "libgcc", version,
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        supplier="Organization: Debian", primaryPackagePurpose="LIBRARY",
        originator="Organization: Free Software Foundation",
        homepage="https://gcc.gnu.org/",
        externalRefs=[reference("SECURITY", "cpe23Type",
                                "cpe:2.3:a:gnu:gcc:%s:*:*:*:*:*:*:*" %
                                version)])


def roots():
    """The certificates of authorities in tls/roots.c."""
    text = (ROOT / "tls/roots.c").read_text()
    found = re.findall(r"^/\* (.*)\n \* until .* (\d{4}) GMT\n"
                       r" \* SHA-256 of the certificate (\w+)\n \* (\w+) \*/", text, re.M)
    assert found, "tls/roots.c has another form"
    return package(
        "roots", "built-in root certificates",
        # no number of their own: what they are decides
        hashlib.sha256("".join(a + b for _, _, a, b in found).encode()
                       ).hexdigest()[:12],
        "MPL-2.0", supplier="Organization: Debian",
        originator="Organization: Mozilla", primaryPackagePurpose="OTHER",
        comment="From Debian's ca-certificates: " + "; ".join(
            "%s, until %s, SHA-256 %s%s" % root for root in found))


def file(path):
    data = path.read_bytes()
    kind = "ARCHIVE" if re.search(r"\.(gz|xz|tar|deb|rpm|apk|zst)$", path.name) \
        else "SOURCE" if path.suffix == ".sh" \
        else "TEXT" if path.name == "LICENSES" else "BINARY"
    return {"SPDXID": "SPDXRef-File-" + re.sub(r"[^A-Za-z0-9.-]", "-",
                                               path.name),
            "fileName": "./" + path.name, "fileTypes": [kind],
            "checksums": [digest("sha1", data), digest("sha256", data)],
            "licenseConcluded": "NOASSERTION",
            "licenseInfoInFiles": ["NOASSERTION"],
            "copyrightText": "NOASSERTION"}


def relations(packages, files, version):
    def relation(a, kind, b):
        return {"spdxElementId": a, "relationshipType": kind,
                "relatedSpdxElement": b}
    yield relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-xapsd")
    for f in files:
        yield relation("SPDXRef-DOCUMENT", "DESCRIBES", f["SPDXID"])
        yield relation(f["SPDXID"], "GENERATED_FROM", "SPDXRef-xapsd")
    for f in files:
        if f["fileName"] not in ("./xapsd-%s-%s" % (version, arch)
                                 for arch in ARCHS):
            continue
        for p in packages[1:]:
            yield relation(f["SPDXID"], "CONTAINS" if p["SPDXID"] ==
                           "SPDXRef-roots" else "STATIC_LINK", p["SPDXID"])


def main():
    version, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    name = "xapsd-%s.spdx.json" % version
    files = [file(path) for path in sorted(folder.iterdir())
             if path.name not in (name, "SHA256SUMS")]
    packages = [xapsd(version), library("mbedtls"), library("musl"), libgcc(),
                roots()]
    unique = hashlib.sha256(json.dumps([packages, files]).encode()).hexdigest()
    time = datetime.datetime.fromtimestamp(
        int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    json.dump({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT", "name": "xapsd-" + version,
        "documentNamespace": "%s/spdx/xapsd-%s-%s" % (URL, version,
                                                      unique[:32]),
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: xapsd-release-sbom.py"]},
        "packages": packages, "files": files,
        "relationships": list(relations(packages, files, version)),
    }, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
