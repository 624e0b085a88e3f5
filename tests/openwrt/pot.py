#!/usr/bin/python3
"""Prints the template of translations of luci-app-xapsd: what stands in _('...')
and N_(n, '...', '...') and the titles of its menu and ACL, as LuCI collects them.

    tests/openwrt/pot.py >openwrt/luci-app-xapsd/po/templates/xapsd.pot"""

import json
import pathlib
import re
import sys

APP = pathlib.Path(__file__).resolve().parents[2] / "openwrt/luci-app-xapsd"
STRING = r"'((?:[^'\\\n]|\\.)*)'"


def javascript(text):
    """(msgid, plural or None) of each call, in order."""
    calls = re.findall(r"\b_\(%s[,)]" % STRING, text)
    plurals = re.findall(r"\bN_\([^,]+, %s, %s\)" % (STRING, STRING), text)
    if len(calls) + len(plurals) != len(re.findall(r"\bN?_\(", text)):
        sys.exit("a call of _() or N_() has no literal in single quotes")
    return [(c, None) for c in calls] + plurals


def titles(node):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from titles(value)
        elif key in ("title", "description"):
            yield value, None


def main():
    found = {}
    for path in sorted([*APP.rglob("htdocs/**/*.js"),
                        *APP.rglob("root/**/*.json")]):
        text = path.read_text()
        for entry in (javascript(text) if path.suffix == ".js"
                      else titles(json.loads(text))):
            found.setdefault(entry, []).append(str(path.relative_to(APP)))
    print('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"')
    for (one, other), places in sorted(found.items()):
        print()
        for place in sorted(set(places)):
            print("#: " + place)
        print('msgid "%s"' % one.replace("\\'", "'").replace('"', '\\"'))
        if other is None:
            print('msgstr ""')
        else:
            print('msgid_plural "%s"\nmsgstr[0] ""\nmsgstr[1] ""' % other)


main()
