"""build/hpackdump (SPEC 9) against python-hpack and against stories that other
encoders wrote; and the tables that hpack.c is built from."""
import json
import os
import pathlib
import random
import subprocess
import sys

import hpack
import pytest

from xapsd import ROOT

DUMP = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "hpackdump"
STORIES = ROOT.parent / "shared" / "data" / "hpack"


def run(lines):
    path = DUMP if DUMP.is_absolute() else ROOT / DUMP
    p = subprocess.run([path], input="".join(s + "\n" for s in lines).encode(),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=60)
    return p.returncode, p.stdout, p.stderr.decode()


def text(headers):
    return b"".join(n + b": " + v + b"\n" for n, v in headers) + b"\n"


def test_blocks_share_a_table():
    rc, out, _ = run(["828684410f7777772e6578616d706c652e636f6d",
                      "828684BE58086e6f2d6361636865"])
    first = (b":method: GET\n:scheme: http\n:path: /\n"
             b":authority: www.example.com\n")
    assert (rc, out) == (0, first + b"\n" + first +
                         b"cache-control: no-cache\n\n")


def test_no_input():
    assert run([]) == (0, b"", "")


def test_empty_block():
    assert run([""]) == (0, b"\n", "")


@pytest.mark.parametrize("lines", [["80"], ["82", "c0"], ["8220"], ["3fe21f"],
                                   ["size 100", "82"], ["0084ffffffff00"]])
def test_decoding_error(lines):
    rc, out, _ = run(lines)
    assert rc == 1
    assert out.splitlines()[-1].startswith(b"error: ")


@pytest.mark.parametrize("line", ["8", "8g", "size", "size ", "size -1",
                                  "size x", "size 99999999999999999999"])
def test_wrong_line(line):
    rc, _, err = run(["82", line])
    assert rc == 64
    assert "line 2" in err


def test_size_must_be_followed():
    assert run(["size 100", "3f45 82".replace(" ", "")])[0] == 0
    assert run(["size 8192", "82"])[0] == 0


def test_python_hpack():
    rng = random.Random(1)
    encoder = hpack.Encoder()
    lines, want = [], b""
    values = [bytes(rng.randrange(1, 256) for _ in range(rng.randrange(60)))
              .replace(b"\n", b"") for _ in range(30)]
    for _ in range(500):
        if rng.randrange(10) == 0:
            size = rng.randrange(0, 5000)
            encoder.header_table_size = size
            lines.append("size %d" % size)
        headers = [(b"name-%d" % rng.randrange(10), rng.choice(values))
                   for _ in range(rng.randrange(8))]
        lines.append(encoder.encode(headers, huffman=rng.random() < 0.7).hex())
        want += text(headers)
    rc, out, err = run(lines)
    assert (rc, err) == (0, "")
    assert out == want


def stories():
    return sorted(STORIES.glob("*/story_*.json"))


@pytest.mark.skipif(not stories(), reason="the stories are not here")
def test_stories():
    for story in stories():
        lines, want = [], b""
        for case in json.loads(story.read_text())["cases"]:
            if "header_table_size" in case:
                lines.append("size %d" % case["header_table_size"])
            lines.append(case["wire"])
            want += text((n.encode(), v.encode()) for h in case["headers"]
                         for n, v in h.items())
        rc, out, _ = run(lines)
        assert (rc, out) == (0, want), story


def test_tables_are_as_generated():
    made = subprocess.run(
        [sys.executable, ROOT / "tests" / "tools" / "hpack_tables.py"],
        stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert made == (ROOT / "h2" / "hpack_tables.h").read_bytes()
