"""The keys in code, sample configuration and man page are the same."""
import re

from xapsd import ROOT


def code_keys():
    """Key -> default, from the table in conf.c."""
    text = (ROOT / "conf.c").read_text()
    rows = re.findall(
        r'ROW\(\s*"(\w+)",\s*\w+,\s*K_\w+,\s*"([^"]*)"', text)
    assert len(rows) == text.count("\tROW("), "a row is not understood"
    assert len(rows) > 40
    return dict(rows)


def sample_lines():
    return (ROOT / "xapsd.yaml").read_text().splitlines()


def sample_keys():
    found = [m.groups() for m in map(
        re.compile(r"#?(\w+): ?(.*)").fullmatch, sample_lines()) if m]
    assert len(found) == len(dict(found)), "a key is there twice"
    return dict(found)


def test_sample_has_every_key():
    assert set(sample_keys()) == set(code_keys())


def test_sample_shows_the_defaults():
    sample = sample_keys()
    for key, default in code_keys().items():
        if default:
            assert sample[key].strip("'") == default, key
        else:
            assert sample[key], f"{key}: no example"


def test_sample_explains_every_key():
    above = ""
    for line in sample_lines():
        if re.fullmatch(r"#?\w+:.*", line):
            assert above.startswith("# ") or re.match(r"#\w+:", above), line
            assert not above.startswith("# ---"), line
        above = line
        assert len(line) <= 80, line


def test_sample_changes_nothing():
    """As installed it is all comments."""
    assert all(not line or line.startswith("#") for line in sample_lines())


def test_man_page_has_every_key():
    page = ROOT / "xapsd.8"
    # the keys are items: .It Cm key , key
    section = re.search(r"^\.Sh CONFIGURATION$(.*?)(?=^\.Sh )",
                        page.read_text(), re.M | re.S)
    items = re.findall(r"^\.It Cm (.*)$", section[1], re.M)
    found = [key for item in items for key in item.split(" , ")]
    assert sorted(found) == sorted(code_keys())
