"""The papers in the tree: headings, links between them, and that what they
name exists: commands, settings, messages."""
import itertools
import os
import re
import shlex
import shutil
import subprocess

import pytest

from xapsd import ROOT, executable

PAPERS = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = ROOT / "README.md"
README_WORDS = 2050     # a newcomer reads all of it
USERS = [README, *sorted(ROOT.glob("docs/*.md"))]
INSTALLED = [*USERS, ROOT / "SECURITY.md"]     # by the packages, too


def headings(text):
    """Heading lines outside of code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.findall(r"^#+ (.*)$", text, re.M)


def anchor(heading):
    """As the forges make them."""
    plain = re.sub(r"[^\w\- ]", "", heading.lower())
    return plain.replace(" ", "-")


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_no_heading_twice(paper):
    if paper.name == "CHANGELOG.md":
        return      # its versions have the same parts
    found = headings(paper.read_text())
    twice = {h for h in found if found.count(h) > 1}
    assert not twice


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_links_lead_somewhere(paper):
    text = paper.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, part = target.partition("#")
        there = paper.parent / name if name else paper
        assert there.exists(), target
        if part:
            assert part in map(anchor, headings(there.read_text())), target


@pytest.mark.parametrize("paper", ["DESIGN.md", "STYLE.md"])
def test_every_module_has_its_floor(paper):
    modules = re.search(r"^modules='(.*?)'", (
        ROOT / "tests/layers.sh").read_text(), re.M | re.S)[1].split()
    text = (ROOT / paper).read_text()
    assert [m for m in modules if not re.search(r"\b%s\b" % m, text)] == []


@pytest.mark.parametrize("paper", ["DESIGN.md", "STYLE.md"])
def test_files_and_functions_exist(paper):
    text = (ROOT / paper).read_text()
    files = re.findall(r"`((?:[\w-]+/)*[a-z_-]+\.(?:c|h|sh|py|mk|html))`", text)
    assert len(files) > 2
    assert [f for f in files if not any(
        list(ROOT.glob(where + f)) for where in ("", "*/", "tests/*/"))] == []
    sources = "".join(path.read_text() for path in [
        *ROOT.glob("*.[ch]"), *ROOT.glob("*/*.[ch]"),
        *ROOT.glob("tests/e2e/*.py")])
    missing = [f for f in re.findall(r"`([a-z]\w+)\([^`]*\)`", text)
               if f + "(" not in sources]
    assert missing in ([], ["x_free"])      # the example


def make_targets():
    listed = subprocess.run(["make", "-C", str(ROOT), "-pRrq", ":"],
                            capture_output=True, text=True).stdout
    return set(re.findall(r"^([a-z][\w-]*):", listed, re.M))


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_make_targets_exist(paper):
    """Every `make TARGET ...` in code names targets of the Makefile."""
    text = paper.read_text()
    code = re.findall(r"`(make [^`\n]*)`", text) + re.findall(
        r"^    (?:.*&& )?(make .*)$", text, re.M)
    targets = make_targets()
    for line in code:
        words = shlex.split(re.split(r"&&|\|\||;|`", line)[0],
                            comments=True)[1:]
        for word in words:
            if re.fullmatch(r"[a-z][\w-]*", word) and not word.endswith("config"):
                assert word in targets, line


def test_commands_exist():
    """Every subcommand of xapsd that the papers show is one."""
    source = (ROOT / "xapsd.c").read_text()
    known = set(re.findall(r'^\t\{ "(\w+)", ', source, re.M))
    assert "check" in known
    for paper in PAPERS:
        if paper.name == "CHANGELOG.md":
            continue    # history, and what is a mistake
        text = paper.read_text()
        shown = re.findall(r"^    (?:sudo )?xapsd (?:-c \S+ )?([a-z]+)\b",
                           text, re.M)
        shown += re.findall(r"`(?:sudo )?xapsd (?:-c \S+ )?([a-z]+)\b", text)
        for command in shown:
            assert command in known, f"{paper.name}: xapsd {command}"


def test_each_make_target_in_help_exists():
    text = subprocess.run(["make", "-s", "-C", str(ROOT), "help"],
                          capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^make ([a-z][\w-]*)", text, re.M):
        assert target in make_targets()


def test_readme_is_short():
    assert len(README.read_text().split()) <= README_WORDS


def test_every_page_is_found_from_readme():
    text = README.read_text()
    for page in ROOT.glob("docs/*.md"):
        assert "(docs/" + page.name in text, page.name


@pytest.mark.parametrize("paper", INSTALLED, ids=lambda p: p.name)
def test_installed_papers_link_to_installed_ones(paper):
    text = re.sub(r"^!\[.*", "", paper.read_text(), flags=re.M)
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        if "://" not in target:
            assert (paper.parent / target).resolve() in INSTALLED, target


def test_every_feature_is_explained():
    known = re.search(r"^KNOWN_FEATURES = ((?:.*\\\n)*.*)$", (
        ROOT / "features.mk").read_text(), re.M)[1].replace(
            "\\\n", " ").split()
    text = (ROOT / "docs/install.md").read_text().split(
        "## Leaving features out")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", text, re.M) == known


def test_pictures():
    """README begins with one; each is shown somewhere, and is small."""
    assert README.read_text().split("\n\n")[1].startswith("![")
    shown = {(p.parent / name).resolve() for p in USERS for name in
             re.findall(r"^!\[[^]]+\]\(([^)]+)\)$", p.read_text(), re.M)}
    assert shown == {p.resolve() for p in ROOT.glob("docs/pictures/*")}
    for picture in shown:
        assert picture.read_bytes()[:4] == b"\x89PNG"
        assert picture.stat().st_size < 60 * 1000, picture.name


def test_doctor_and_list_say_what_trouble_explains():
    """Each line of doctor has a row, and what is in the column CAME."""
    text = (ROOT / "docs/trouble.md").read_text()
    rows = set(re.findall(r"`(\w+)`", " ".join(re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \|", text.split("\n## ")[0], re.M))))
    source = (ROOT / "ctl/doctor.c").read_text()
    steps = set(re.findall(r'\bsay\(d, "(\w+)"', source))
    assert rows == steps - {"database"} and "visit" in rows
    came = re.findall(r"^\| `([a-z0-9][^`|]*)` \|", text.split("\n## ")[1],
                      re.M)
    strings = " ".join(re.findall(r'"([^"\n]*)"', (
        ROOT / "ctl/show.c").read_text()))
    for words in came:
        for part in re.split(r"[\d.]+ \w+,? ?|[\d.]+", words):
            assert part.strip(", ") in strings, words
    assert len(came) == 4


# --- the project's address and its maintainer's ---

def variable(name):
    """Of the Makefile, as make sees it."""
    return subprocess.run(
        ["make", "-s", "--no-print-directory", "-C", ROOT, "-f", "Makefile", "-f",
         "-", "show"], input="show:\n\t@echo '$(%s)'\n" % name, text=True,
        check=True, stdout=subprocess.PIPE, env={
            k: v for k, v in os.environ.items()
            if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}).stdout.strip()


URL, MAINTAINER = variable("PROJECT_URL"), variable("MAINTAINER")
ADDRESS = MAINTAINER.partition("<")[2].rstrip(">")
URL_FILES = subprocess.run(
    ["make", "-s", "-C", ROOT, "--eval", "names:;@echo $(URL_FILES)", "names"],
    check=True, text=True, stdout=subprocess.PIPE).stdout.split()


def sources():
    listed = subprocess.run(["sh", "release/list.sh"], cwd=ROOT, check=True,
                            text=True, stdout=subprocess.PIPE).stdout
    for name in listed.splitlines():
        try:
            yield name, (ROOT / name).read_text()
        except UnicodeDecodeError:
            pass    # a picture


def test_one_address():
    """It is nowhere else than in the files that `make set-url` changes."""
    host = re.escape(URL.split("/")[2])
    named = {name for name, text in sources()
             if re.search(host + "|" + re.escape(ADDRESS), text)}
    assert named == set(URL_FILES)
    for name, text in sources():
        if name in URL_FILES:
            for found in re.findall(r"\S*%s\S*" % host, text):
                assert URL in found or ADDRESS in found, (name, found)
        # as an address, not as who holds the copyright
        for found in re.findall(r"%s <\S*>" % re.escape(
                MAINTAINER.partition(" <")[0]), text):
            assert found == MAINTAINER, name


def set_url(folder, *args):
    for name in URL_FILES:
        copy = folder / name
        copy.parent.mkdir(exist_ok=True, parents=True)
        if not copy.exists():
            shutil.copy(ROOT / name, copy)
    (folder / "release").mkdir(exist_ok=True)
    shutil.copy(ROOT / "release/set-url.sh", folder / "release")
    return subprocess.run(
        ["make", "-s", "-C", folder, "-I", str(ROOT), "set-url", *args],
        capture_output=True, text=True)


def test_another_address(tmp_path):
    """All that show it follow, keep their modes, and it can change again."""
    for url, maintainer in (("https://a.example/b", "A. O'B & Söhne <a+x@b.example>"),
                            ("https://c.example:8443", "x <x@c.example>"),
                            (URL, MAINTAINER)):
        done = set_url(tmp_path, "URL=" + url, "MAINTAINER=" + maintainer)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        for name in URL_FILES:
            text = (tmp_path / name).read_text()
            was = (ROOT / name).read_text()
            assert text == was.replace(MAINTAINER, maintainer).replace(
                ADDRESS, maintainer.partition("<")[2].rstrip(">")).replace(
                URL, url), name
            assert (tmp_path / name).stat().st_mode == \
                (ROOT / name).stat().st_mode
    assert sorted(p.name for p in (tmp_path / "release").iterdir()) == [
        "install.sh", "set-url.sh"]


def test_one_of_two_addresses(tmp_path):
    assert set_url(tmp_path, "URL=https://a.example").returncode == 0
    text = (tmp_path / "debian/control").read_text()
    assert "Homepage: https://a.example\n" in text and MAINTAINER in text
    assert set_url(tmp_path, "MAINTAINER=me <me@a.example>").returncode == 0
    text = (tmp_path / "debian/control").read_text()
    assert "Homepage: https://a.example\n" in text
    assert "Maintainer: me <me@a.example>\n" in text


@pytest.mark.parametrize("args", [
    [], ["URL="], ["URL=http://a.example"], ["URL=https://"],
    ["URL=https://a.example/"], ["URL=https://a.example/b c"],
    ["URL=https://a.example/|x"], ["URL=https://a.example/b\nc"],
    ["MAINTAINER=me"], ["MAINTAINER=me@a.example"], ["MAINTAINER=<me@a.example>"],
    ["MAINTAINER=me <me>"], ["MAINTAINER=me <me@a.example> you"],
    ["MAINTAINER=me | x <me@a.example>"], ["MAINTAINER=a, b <me@a.example>"]])
def test_no_address(tmp_path, args):
    done = set_url(tmp_path, *args)
    assert done.returncode != 0 and "make set-url URL=https://" in done.stderr
    for name in URL_FILES:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text()


# --- settings ---

def config_keys():
    rows = re.findall(r'^\tROW\("(\w+)"', (ROOT / "conf.c").read_text(), re.M)
    assert "databaseFile" in rows
    return set(rows)


def other_names():
    """Words like xapsd.yaml's that are none: fields of requests and answers,
    other daemons' keys."""
    page = (ROOT / "xapsd.8").read_text()
    names = set(re.findall(r"\w+", " ".join(re.findall(
        r"^\.It Li (.*) Pq ", page, re.M))))     # members of JSON
    for path in (ROOT / "conf.c", *ROOT.glob("api/*.c"), *ROOT.glob("ctl/*.c"),
                 *ROOT.glob("store/*.c")):
        names |= set(re.findall(r'"(\w+)"', path.read_text()))
    return names


@pytest.mark.parametrize("paper", USERS, ids=lambda p: p.name)
def test_settings_exist(paper):
    text = paper.read_text()
    keys, others = config_keys(), other_names()
    for key in re.findall(r"`([a-z]+[A-Z]\w*)(?:: [^`]*)?`", text):
        assert key in keys | others, key
    for key in re.findall(r"^    (\w+): \S", text, re.M):
        assert key in keys, key


@pytest.mark.parametrize("paper", USERS, ids=lambda p: p.name)
def test_settings_of_the_plugin_exist(paper):
    source = "".join(p.read_text() for p in ROOT.glob("plugin/*.[ch]"))
    names = set(re.findall(r"\b(xaps_\w+)", paper.read_text()))
    for name in names - {"xaps_imap", "xaps_push_notification", "xaps_"}:
        known = name in source or re.search(
            r"\b%s\b" % name[len("xaps_"):], source)
        assert known, name


@pytest.mark.parametrize("paper", USERS, ids=lambda p: p.name)
def test_options_exist(paper):
    """--words of xapsd: those of its help, and keys."""
    text = subprocess.run([executable(), "--help"], capture_output=True,
                          text=True, check=True).stdout
    code = re.findall(r"`((?:sudo )?xapsd [^`]*)`", paper.read_text())
    code += re.findall(r"^    ((?:sudo )?xapsd .*)$", paper.read_text(), re.M)
    for line in code:
        for option in re.findall(r" --(\w+)", line):
            assert "--" + option in text or option in config_keys(), line


# --- messages ---

# Of Dovecot and of the system.
FOREIGN = re.compile(r"Couldn't load|^Plugin '|^Unknown setting|unknown group|"
                     r"parse configuration|Multiple files|different ABI|"
                     r"Connection refused$|Network is unreachable$")
# Placeholders: paths, names, addresses, the system's words.
EXAMPLE = re.compile(
    r"\S*/\S*|\S*\.(?:com|org|p8|pem)\b\S*|alice|vmail|\S*\d\S*|Lists|"
    r"Permission denied|Operation not permitted|Address already in use|"
    r"Connection refused|localhost|^\w+: |user xapsd|chown xapsd|xapsd:|"
    r"\(connect.*|failed:|…")
COVERED = 0.5


def in_words(text):
    return re.findall(r"[A-Za-z][\w']*", text)


def spoken():
    """Runs of three words of all strings in the sources."""
    runs = set()
    for path in (*ROOT.glob("*.c"), *ROOT.glob("[a-z]*/*.c")):
        if path.relative_to(ROOT).parts[0] in ("tests", "build"):
            continue
        text = re.sub(r'"\s+"', "", path.read_text())
        for string in re.findall(r'"((?:[^"\\\n]|\\.)*)"', text):
            words = in_words(re.sub(r"\\n|%[-\d.*hjlz]*[a-z]", " ", string))
            runs |= set(zip(words, words[1:], words[2:]))
    return runs


def covered(message, runs):
    """The part of its words that the program says in this order."""
    words = in_words(EXAMPLE.sub(" ", message))
    hit = [False] * len(words)
    for i, run in enumerate(zip(words, words[1:], words[2:])):
        if run in runs:
            hit[i:i + 3] = [True] * 3
    return sum(hit) / len(words) if len(words) > 2 else 1


def test_messages_exist():
    """What the tables of trouble quote is said by the program."""
    runs, checked, gone = spoken(), 0, []
    for paper in USERS:
        if paper.name not in ("README.md", "trouble.md", "page.md"):
            continue
        rows = re.findall(r"^\| ((?:[^|`]*`[^`]*`)+)[^|`]* \|",
                          paper.read_text(), re.M)
        for message in itertools.chain(
                *(re.findall(r"`([^`]+)`", row) for row in rows)):
            if FOREIGN.search(message) or len(in_words(message)) < 4:
                continue
            checked += 1
            if covered(message, runs) < COVERED:
                gone.append("%s: %s" % (paper.name, message))
    assert not gone, "\n".join(gone)
    assert checked > 30
