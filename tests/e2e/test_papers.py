"""The papers in the tree: headings, links between them, commands that exist."""
import re
import shlex
import subprocess

import pytest

from xapsd import ROOT

PAPERS = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


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
