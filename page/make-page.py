#!/usr/bin/python3
"""Turns page/index.html into api/page_asset.h: `make page`.  `make lint` fails
if that is not current.

It becomes packed bytes and the Content-Security-Policy with the hashes of its
style and script.  Comments, indentation and line ends that HTML, CSS and
JavaScript do not need are left out."""

import base64
import hashlib
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
MAX = 6144      # bytes in the executable


def squeeze_css(css):
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    css = re.sub(r"\s+", " ", css)
    css = re.sub(r" ?([{};,>]) ?", r"\1", css)
    return re.sub(r": ", ":", css).replace(";}", "}").strip()


def squeeze_js(js):
    lines = [line.strip() for line in js.splitlines()]
    return "\n".join(line for line in lines
                     if line and not line.startswith("//"))


def squeeze_html(html):
    html = re.sub(r"<!--.*?-->", "", html, flags=re.S)
    lines = [line.strip() for line in html.splitlines()]
    html = "\n".join(line for line in lines if line)
    # attribute values of these characters need no quotes
    html = re.sub(r'(<[a-z][^<>]*>)', lambda tag: re.sub(
        r'="([a-zA-Z0-9._-]+)"', r"=\1", tag[0]), html)
    return html.replace("\n<", "<")


def source_hash(text):
    digest = hashlib.sha256(text.encode()).digest()
    return "'sha256-%s'" % base64.b64encode(digest).decode()


def matches(text, at):
    """(length, distance) of what stands earlier, of each length the nearest."""
    for n in range(3, 11 + 255):
        found = text.rfind(text[at:at + n], max(0, at - 4096), at + n - 1)
        if found < 0 or at + n > len(text):
            return
        yield n, at - found


def code(n, distance):
    short = min(n, 10) - 3
    return bytes([128 | short << 4 | distance - 1 >> 8, distance - 1 & 255] +
                 [n - 10] * (short == 7))


def pack(text):
    """LZ77: the shortest way to write the rest, for every rest."""
    best = [b""]
    for at in reversed(range(len(text))):
        ways = [text[at:at + 1] + best[-1]]
        ways += [code(n, d) + best[-n] for n, d in matches(text, at)]
        best.append(min(ways, key=len))
    return best[-1]


def rows(data):
    return "\n".join("\t" + " ".join("%d," % b for b in data[at:at + 16])
                     for at in range(0, len(data), 16))


def main():
    text = (HERE / "index.html").read_text()
    css = squeeze_css(re.search(r"<style>(.*)</style>", text, re.S)[1])
    js = squeeze_js(re.search(r"<script[^>]*>(.*)</script>", text, re.S)[1])
    html = re.sub(r"<style>.*</style>", "<style></style>", text, flags=re.S)
    html = re.sub(r"(<script[^>]*>).*</script>", r"\1</script>", html,
                  flags=re.S)
    html = re.sub(r"</?(html|head|body|main)>", lambda tag: tag[0] * (
        "main" in tag[0]), squeeze_html(html))
    html = html.replace("{{", "\1").replace("}}", "\2").replace(
        "<style>", "<style>" + css).replace("</script>", js + "</script>")
    whole = html.encode("ascii")
    packed = pack(whole)
    csp = ("default-src 'none'; style-src %s; script-src %s; img-src data:; "
           "connect-src 'self'; form-action 'self'; base-uri 'none'; "
           "frame-ancestors 'none'" % (source_hash(css), source_hash(js)))
    size = len(packed) + len(csp)
    if size > MAX:
        sys.exit("page/index.html makes %d bytes, more than %d" % (size, MAX))
    print("""/* api/page_asset.h - made by page/make-page.py from page/index.html: %d bytes,
 * %d unpacked.  Change that file, then `make page`. */
#ifndef API_PAGE_ASSET_H
#define API_PAGE_ASSET_H

#define PAGE_LEN %d

/* Bytes from 128 on, c and d, mean: as many bytes as c's bits 4 to 6 say and 3 more
 * are those that stood (c's bits 0 to 3) * 256 + d + 1 bytes ago.  Where that makes
 * 10, the next byte says how many more. */
static const unsigned char page_packed[] = {
%s
};

#define PAGE_CSP \\
	"%s"

#endif""" % (size, len(whole), len(whole), rows(packed),
             csp.replace("; ", '; " \\\n\t"')))


if __name__ == "__main__":
    main()
