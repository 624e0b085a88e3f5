#!/usr/bin/env python3
"""Prints h2/hpack_tables.h: hpack_tables.py >h2/hpack_tables.h

The sources are RFC 7541, Appendix A (static table) and Appendix B (code
lengths; the code is canonical, so lengths are all there is to know).
"""

# Bits of the code of each octet 0 to 255, and of EOS.
LENGTHS = [int(n) for n in """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28
28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7
7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5
6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23
24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23
21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25
19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30
""".split()]

# name, or name=value, from index 1 on.
STATIC = """
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
""".split("\n")[1:-1]


def split(entry):
    name, _, value = entry.partition("=")
    return name, value


def array(kind, name, size, values, per_line=12, form="%d"):
    print("static const %s %s[%s] = {" % (kind, name, size))
    for i in range(0, len(values), per_line):
        row = ", ".join(form % v for v in values[i:i + per_line])
        print("\t%s," % row)
    print("};\n")


def huffman():
    print("/* Bits of each symbol's code; EOS has 30. */")
    array("uint8_t", "huff_len", "256", LENGTHS[:256], 16)


def name_hash(name, a, b):
    return (len(name) * a + ord(name[0]) * b
            + ord(name[-1])) % 128


def static():
    names = {}
    for i, entry in enumerate(STATIC):
        names.setdefault(split(entry)[0], i + 1)
    a, b = next((a, b) for a in range(1, 128) for b in range(1, 128)
                if len({name_hash(n, a, b) for n in names}) == len(names))
    slots = [0] * 128
    for n, i in names.items():
        slots[name_hash(n, a, b)] = i
    print("/* Perfect hash of the static names: the first index that has the"
          "\n * name, or 0. */")
    print("#define STATIC_HASH(len, first, last)                        "
          "              \\\n\t(((len) * %d + (first) * %d + (last)) %% 128)"
          "\n" % (a, b))
    array("uint8_t", "static_slot", "128", slots)
    text, at = [], 0
    print("#define STATIC_COUNT %d\n" % len(STATIC))
    print("/* Name and value follow each other in static_text. */")
    print("static const struct {\n\tuint16_t at;\n"
          "\tuint8_t name_len, value_len;\n} static_rows[STATIC_COUNT] = {")
    for entry in STATIC:
        name, value = split(entry)
        print("\t{ %d, %d, %d }," % (at, len(name), len(value)))
        text.append(name + value)
        at += len(name) + len(value)
    print("};\n\nstatic const char static_text[] =")
    print("\n".join('    "%s"' % t for t in text) + ";")


print("""/* h2/hpack_tables.h - constants of RFC 7541; for hpack.c alone.
 *
 * Made by tests/tools/hpack_tables.py: change that, not this. */
#ifndef HPACK_TABLES_H
#define HPACK_TABLES_H

#include <stdint.h>

/* clang-format off */
""")
huffman()
static()
print("\n/* clang-format on */\n\n#endif")
