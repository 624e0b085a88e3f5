"""What a release is made of, by the scripts in release/: notes, the tag, the list of
what is linked, archives; and the workflows that run them."""

import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from xapsd import ROOT

VERSION = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(),
                    re.M)[1]


def script(name, *args, cwd=ROOT, ok=True, **environment):
    done = subprocess.run(["sh", ROOT / "release" / name, *args], cwd=cwd,
                          env={**os.environ, **environment}, text=True,
                          capture_output=True)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


# --- notes ---

CHANGES = """# What changed

Words.

## 1.1.0 (unreleased)

- One.

## 1.0.0 (2026-01-02)

### Parts

- Two,
  on two lines.

- Three.


## 1.0

- Four.
## 0.9
   
## 0.8
"""


@pytest.mark.parametrize("version, notes", [
    ("1.1.0", "- One.\n"),
    ("1.0.0", "### Parts\n\n- Two,\n  on two lines.\n\n- Three.\n"),
    ("1.0", "- Four.\n")])
def test_notes(tmp_path, version, notes):
    changes = tmp_path / "c"
    changes.write_text(CHANGES)
    assert script("notes.sh", version, CHANGELOG=str(changes)) == notes


@pytest.mark.parametrize("version", ["0.9", "0.8", "2", "1", "1.0.0 (2026",
                                     "1.*", ""])
def test_no_notes(tmp_path, version):
    changes = tmp_path / "c"
    changes.write_text(CHANGES)
    assert "says nothing of " + version in script(
        "notes.sh", version, CHANGELOG=str(changes), ok=False)


def test_notes_of_this_version():
    assert script("notes.sh", VERSION).startswith("- ")


# --- the tag ---

@pytest.fixture
def tree(tmp_path):
    """Of a version that is finished."""
    (tmp_path / "release").mkdir()
    (tmp_path / "debian").mkdir()
    shutil.copy(ROOT / "release/notes.sh", tmp_path / "release")
    (tmp_path / "Makefile").write_text("VERSION = 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# W\n\n## 1.2.0\n\n- A.\n")
    (tmp_path / "debian/changelog").write_text(
        "xapsd (1.2.0) unstable; urgency=medium\n")
    return tmp_path


@pytest.mark.parametrize("heading", ["1.2.0", "1.2.0 (2026-12-31)"])
def test_tag(tree, heading):
    (tree / "CHANGELOG.md").write_text("## %s\n\n- A.\n" % heading)
    assert script("tag.sh", "v1.2.0", cwd=tree) == ""


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.0-rc1", "v1.2.1", "",
                                 "V1.2.0", "v1x2.0"])
def test_another_tag(tree, tag):
    said = script("tag.sh", tag, cwd=tree, ok=False)
    assert "'%s'" % tag in said and "needs v1.2.0" in said


@pytest.mark.parametrize("file, text, said", [
    ("CHANGELOG.md", "## 1.2.0 (unreleased)\n\n- A.\n", "still says"),
    ("CHANGELOG.md", "## 1.3.0\n\n- A.\n\n## 1.2.0\n\n- A.\n", "begins with"),
    ("CHANGELOG.md", "## 1.2.0\n\n## 1.1.0\n\n- A.\n", "says nothing"),
    ("CHANGELOG.md", "# W\n", "begins with"),
    ("debian/changelog", "xapsd (1.1.0) unstable; urgency=low\n", "another"),
    ("debian/changelog", "xapsd (1.2.0) UNRELEASED; urgency=low\n", "UNREL"),
    ("Makefile", "VERSION = 1.2.1\n", "v1.2.1")])
def test_not_finished(tree, file, text, said):
    (tree / file).write_text(text)
    assert said in script("tag.sh", "v1.2.0", cwd=tree, ok=False)


# --- archives ---

@pytest.fixture
def some(tmp_path):
    folder = tmp_path / "f"
    (folder / "sub").mkdir(parents=True)
    (folder / "b").write_text("b")
    (folder / "sub/a").write_text("a")
    (folder / "sub/a").chmod(0o700)
    (folder / "b").chmod(0o600)
    return folder


def test_archive(some, tmp_path):
    names = []
    for i, order in enumerate((["b", "sub/a"], ["sub/a", "b"])):
        names.append(tmp_path / ("%d.tar.gz" % i))
        subprocess.run(
            ["sh", ROOT / "release/tar.sh", names[-1], some, "x-1/"],
            input="\n".join(order) + "\n", text=True, check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1000000000",
                 "TZ": "Asia/Tokyo" if i else "UTC"})
        (some / "b").chmod(0o644)
        os.utime(some / "b", (5, 5))
    assert names[0].read_bytes() == names[1].read_bytes()
    with tarfile.open(names[0]) as tar:
        assert [(m.name, m.mode, m.mtime, m.uid, m.gid, m.uname) for m in tar
                ] == [("x-1/b", 0o644, 10**9, 0, 0, ""),
                      ("x-1/sub/a", 0o755, 10**9, 0, 0, "")]


def test_sources_build_without_git(tmp_path):
    """Nothing asks Git; what is in it is what Git knows."""
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD")}
    subprocess.run(["make", "-s", "-C", ROOT, "release-source",
                    "DIST=%s" % tmp_path], check=True, env=environment)
    with tarfile.open(tmp_path / ("xapsd-%s.tar.gz" % VERSION)) as tar:
        names = tar.getnames()
        tar.extractall(tmp_path)
    top = tmp_path / ("xapsd-" + VERSION)
    assert {n.split("/")[0] for n in names} == {top.name}
    listed = script("list.sh").split("\n")[:-1]
    assert sorted(names) == sorted(top.name + "/" + n for n in listed)
    assert script("list.sh", cwd=top).split("\n")[:-1] and sorted(
        script("list.sh", cwd=top).split()) == sorted(" ".join(listed).split())
    out = subprocess.run(["make", "-n", "-C", top, "all"], text=True,
                         check=True, capture_output=True, env=environment)
    assert '"%s"' % VERSION in out.stdout
    assert "git" not in out.stderr


# --- what is in it, for machines ---

@pytest.fixture
def sbom(tmp_path, monkeypatch):
    """Of files that are made up, and libraries that were never fetched."""
    dist = tmp_path / "dist"
    dist.mkdir()
    for name in ("xapsd-9.1-x86_64", "xapsd-9.1-mips", "xapsd-9.1.tar.gz",
                 "install.sh", "LICENSES", "dovecot-xaps_9.1+deb12_amd64.deb",
                 "SHA256SUMS"):
        (dist / name).write_text(name)
    tree = tmp_path / "tree"
    for name in ("release/sbom.py", "static/arch.mk", "LICENSE", "tls/roots.c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for name, version in ("mbedtls", "3.6.7-3"), ("musl", "1.2.5-3.1~deb13u1"):
        source = tree / "build/static/src" / name
        source.mkdir(parents=True)
        (source / ".version").write_text(version + "\n")

    def make():
        return subprocess.run(
            ["/usr/bin/python3", tree / "release/sbom.py", "9.1", dist],
            check=True, stdout=subprocess.PIPE, env={
                **os.environ, "SOURCE_DATE_EPOCH": "1000000000",
                "PROJECT_URL": "https://x.example/x",
                "MAINTAINER": "A B <a@x.example>"}).stdout
    text = make()
    (dist / "xapsd-9.1.spdx.json").write_bytes(text)
    assert make() == text      # it is not in itself
    return dist, json.loads(text)


def test_a_maintainers_name_is_no_shells(tmp_path):
    """As `make set-url` takes it."""
    name = "Pat O'Brien & Søn <pat@example.org>"
    subprocess.run(
        ["make", "-s", "-C", ROOT, "release-sbom", "DIST=%s" % tmp_path,
         "MAINTAINER=" + name, "PYTHON=sh -c 'printenv MAINTAINER'"], check=True,
        env={k: v for k, v in os.environ.items() if k not in (
            "MAKEFLAGS", "MFLAGS", "MAKELEVEL")})
    text = (tmp_path / ("xapsd-%s.spdx.json" % VERSION)).read_text()
    assert text == name + "\n"


def test_sbom(sbom):
    dist, doc = sbom
    assert (doc["spdxVersion"], doc["dataLicense"], doc["SPDXID"]) == (
        "SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert doc["creationInfo"]["created"] == "2001-09-09T01:46:40Z"
    packages = {p["name"]: p for p in doc["packages"]}
    for name, version, licence, cpe in (
            ("Mbed TLS", "3.6.7-3", "Apache-2.0 OR GPL-2.0-or-later",
             "cpe:2.3:a:arm:mbed_tls:3.6.7:*:*:*:*:*:*:*"),
            ("musl", "1.2.5-3.1~deb13u1", "MIT",
             "cpe:2.3:a:musl-libc:musl:1.2.5:*:*:*:*:*:*:*")):
        p = packages[name]
        assert (p["versionInfo"], p["licenseConcluded"]) == (version, licence)
        assert cpe in [r["referenceLocator"] for r in p["externalRefs"]]
    assert packages["xapsd"]["versionInfo"] == "9.1"
    assert packages["xapsd"]["supplier"] == "Organization: A B (a@x.example)"
    names = re.findall(r"^/\* (.*)\n \* until ", (
        ROOT / "tls/roots.c").read_text(), re.M)
    assert len(names) > 3
    for name in names:
        assert name in packages["built-in root certificates"]["comment"]
    files = {f["fileName"][2:]: f for f in doc["files"]}
    assert set(files) == {p.name for p in dist.iterdir()} - {
        "SHA256SUMS", "xapsd-9.1.spdx.json"}
    for name, f in files.items():
        data = (dist / name).read_bytes()
        assert {c["algorithm"]: c["checksumValue"] for c in f["checksums"]} == {
            "SHA1": hashlib.sha1(data).hexdigest(),
            "SHA256": hashlib.sha256(data).hexdigest()}


def test_sbom_holds_together(sbom):
    _, doc = sbom
    things = [doc, *doc["packages"], *doc["files"]]
    ids = [t["SPDXID"] for t in things]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    for r in doc["relationships"]:
        assert r["spdxElementId"] in ids and r["relatedSpdxElement"] in ids
    linked = {r["spdxElementId"] for r in doc["relationships"]
              if (r["relationshipType"], r["relatedSpdxElement"]) ==
              ("STATIC_LINK", "SPDXRef-mbedtls")}
    assert linked == {"SPDXRef-File-xapsd-9.1-x86-64",
                      "SPDXRef-File-xapsd-9.1-mips"}
    assert not re.search(r"\s", doc["documentNamespace"])


def test_time_of_a_release():
    """That of debian/changelog's first entry, in every time zone."""
    line = re.search(r"^ -- .*>  (.*)$", (
        ROOT / "debian/changelog").read_text(), re.M)[1]
    expected = int(datetime.datetime.strptime(
        line, "%a, %d %b %Y %H:%M:%S %z").timestamp())
    out = subprocess.run(
        ["make", "-s", "-C", ROOT, "-f", "Makefile", "-f", "-", "show"],
        input="show:\n\t@echo $(SOURCE_DATE_EPOCH)\n", text=True, check=True,
        capture_output=True, env={
            **{k: v for k, v in os.environ.items()
               if not k.startswith(("MAKE", "MFLAGS", "SOURCE_DATE"))},
            "TZ": "Asia/Tokyo"})
    assert int(out.stdout) == expected


# --- workflows ---

def test_workflows_run_what_is_there():
    """`make` targets and scripts in them exist."""
    makefile = subprocess.run(["make", "-C", ROOT, "-pRrq", ":"], text=True,
                              capture_output=True).stdout
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
    seen = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        for line in re.findall(r"\bmake ([^\n|>&;]*)", text):
            words = re.sub(r"\$\{\{.*?\}\}|\w+=(\"[^\"]*\"|\S*)", "", line)
            seen |= set(re.findall(r"(?<!\S)([a-z][\w-]*)(?!\S)", words))
        for name in re.findall(r"\bsh (\S+\.sh)", text):
            assert (ROOT / name).exists(), name
        # an image's packages are older than those that come beside them
        assert "UPGRADE: 1" in text or ".ci/run" in text, path
    # what apt-get installs is named make, too
        for lines in re.findall(r"^ +target:\n((?: +- .*\n)+)", text, re.M):
            seen |= set(re.findall(r"- ([\w-]+)", lines))
    assert {"check-release", "check-tag", "valgrind"} <= seen
    assert seen - {"ca-certificates", "git", "make"} <= targets
