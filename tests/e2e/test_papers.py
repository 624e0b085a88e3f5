"""The papers in the tree: headings, links between them, and that what they
name exists: commands, settings, messages."""
import itertools
import re
import shlex
import subprocess

import pytest

from xapsd import ROOT, executable

PAPERS = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = ROOT / "README.md"
README_WORDS = 1900     # a newcomer reads all of it
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
            if re.fullmatch(r"[a-z][\w-]*", word) and word != "defconfig":
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
    known = re.search(r"^KNOWN_FEATURES = (.*)$", (
        ROOT / "features.mk").read_text(), re.M)[1].split()
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


# --- the project's address ---

def test_one_address(tmp_path):
    """It is in one variable, and what shows it follows."""
    makefile = (ROOT / "Makefile").read_text()
    url, = re.findall(r"^PROJECT_URL = (\S+)$", makefile, re.M)
    names = re.findall(r"^URL_FILES = (.*)$", makefile, re.M)[0].split()
    for paper in PAPERS:
        if ".invalid" in paper.read_text():
            assert paper.name in names
    for name in names:
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text())
        found = set(re.findall(r"https?://[\w.]*\.invalid[\w/]*",
                               copy.read_text()))
        assert {f[:len(url)] for f in found} == {url}, name
    subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), "-C", tmp_path,
                    "-I", str(ROOT), "set-url", "URL=https://a.example/b"],
                   check=True, capture_output=True)
    for name in names:
        text = (tmp_path / name).read_text()
        assert "https://a.example/b" in text and url not in text, name


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
