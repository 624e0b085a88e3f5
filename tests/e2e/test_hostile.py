"""What no server may do to the daemon: each case is one connection (or a few)
of a raw-frame server that misbehaves while a push waits or is under way.

Each case names the RFC section it is based on.  After each: the daemon lives,
reacted as the RFC wants, treated nothing malformed as success, delivered the
push over a healthy connection exactly as often as the contract says, did not spin
and has not grown.  Cases share a daemon per worker; a failed one gets a fresh
daemon for its successors."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import tempfile
import time
import warnings

import pytest

from certs import CA, cert_pem, key_pem, write
from phones import ACCOUNT
from rawserver import *
from rawserver import RawServer, Wrong, server_context
from xapsd import Xapsd, is_instrumented


CPU_MAX_S = 0.5
# Wake-ups of one case: a handshake is about 10, a push 10, a pause 1; TLS in
# one-byte records one for each.  A daemon that spins has thousands a second.
WAKEUPS_MAX = 400
# What may remain after a case: a registration (300 bytes), the allocator's
# holes around the largest buffers (64 KiB in, 128 KiB out, 3 * 17 KiB of TLS,
# 16 KiB of header block), and the C library's own pages touched for the first
# time.  A leak of one connection (40 KiB) per case passes it in a dozen cases.
GROWTH_MAX_KIB = 512

# --- what a server says; s is the stream of the push ---

HEADERS_OK = lambda s: frame(HEADERS, END, s, OK)


def opens(c, *pairs):
    c.open(*pairs)
    return c.request()


def breaks(code, make, pairs=()):
    """A connection error."""
    def script(c):
        r = opens(c, *pairs)
        c.push_in(make(r.id))
        c.expect_goaway(code)
    return script


def spoils(code, make):
    """A stream error: reset, and sent again over the same connection."""
    def script(c):
        r = opens(c)
        c.send(make(r.id))
        c.expect_reset(r.id, code)
        c.answer(c.request())
        c.serve()
    return script


def lives_with(make, pairs=()):
    """Nothing wrong with it: the answer counts."""
    def script(c):
        r = opens(c, *pairs)
        r.answered = 200
        c.send(make(r.id))
        c.round_trip()
        c.serve()
    return script


def before_settings(code, data):
    def script(c):
        c.handshake()
        c.push_in(data)
        c.expect_goaway(code)
    return script


@dataclasses.dataclass
class Case:
    rfc: str
    name: str
    script: object          # or several, for as many connections
    sent: int = 2           # requests for one push, in all
    pauses: int = 1         # of these, after a pause; None: not looked at
    log: str = None         # a pattern that the log must have
    hasty: bool = False     # with a short pushTimeout
    pushes: int = 1
    wakeups: int = WAKEUPS_MAX
    after: object = None    # more to look at: after(rig, log)

    @property
    def id(self):
        return "%s: %s" % (self.rfc, self.name)


CASES = []


def case(rfc, name, script, **more):
    CASES.append(Case(rfc, name, script, **more))


def scripted(rfc, name, **more):
    """As a decorator."""
    def take(script):
        case(rfc, name, script, **more)
        return script
    return take


# --- frames of a wrong size, in a wrong place, in a wrong state ---

for rfc, name, code, make in (
    ("9113 4.2", "a DATA frame over 16384 bytes", FRAME_SIZE_ERROR,
     lambda s: HEADERS_OK(s)[:4] + bytes([4]) + HEADERS_OK(s)[5:] +
     frame(DATA, 0, s, bytes(16385))),
    ("9113 4.2", "a HEADERS frame over 16384 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(HEADERS, END, s, bytes(16385))),
    ("9113 4.2", "a length of 16 MB, never sent", FRAME_SIZE_ERROR,
     lambda s: frame(DATA, 0, s, b"", 0xffffff)),
    ("9113 4.2", "an unknown frame over 16384 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(UNKNOWN, 0, 0, b"", 16385)),
    ("9113 6.1", "DATA on stream 0", PROTOCOL_ERROR,
     lambda s: frame(DATA, 0, 0, b"x")),
    ("9113 6.2", "HEADERS on stream 0", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END, 0, OK)),
    ("9113 6.3", "PRIORITY on stream 0", PROTOCOL_ERROR,
     lambda s: frame(PRIORITY, 0, 0, bytes(5))),
    ("9113 6.3", "PRIORITY of 4 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(PRIORITY, 0, s, bytes(4))),
    ("9113 6.4", "RST_STREAM on stream 0", PROTOCOL_ERROR,
     lambda s: reset(0, CANCEL)),
    ("9113 6.4", "RST_STREAM of 3 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(RST_STREAM, 0, s, bytes(3))),
    ("9113 6.4", "RST_STREAM on an idle stream", PROTOCOL_ERROR,
     lambda s: reset(s + 2, CANCEL)),
    ("9113 6.5", "SETTINGS on a stream", PROTOCOL_ERROR,
     lambda s: frame(SETTINGS, 0, s)),
    ("9113 6.5", "SETTINGS of 5 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(SETTINGS, 0, 0, bytes(5))),
    ("9113 6.5", "an acknowledgement with a payload", FRAME_SIZE_ERROR,
     lambda s: frame(SETTINGS, ACK, 0, bytes(6))),
    ("9113 6.6", "PUSH_PROMISE", PROTOCOL_ERROR,
     lambda s: frame(PUSH_PROMISE, END_HEADERS, s, u32(2) + OK)),
    ("9113 6.6", "PUSH_PROMISE on stream 0", PROTOCOL_ERROR,
     lambda s: frame(PUSH_PROMISE, END_HEADERS, 0, u32(2) + OK)),
    ("9113 6.7", "PING on a stream", PROTOCOL_ERROR,
     lambda s: frame(PING, 0, s, bytes(8))),
    ("9113 6.7", "PING of 7 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(PING, 0, 0, bytes(7))),
    ("9113 6.7", "PING of 9 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(PING, 0, 0, bytes(9))),
    ("9113 6.8", "GOAWAY on a stream", PROTOCOL_ERROR,
     lambda s: frame(GOAWAY, 0, s, u32(0, 0))),
    ("9113 6.8", "GOAWAY of 7 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(GOAWAY, 0, 0, bytes(7))),
    ("9113 6.9", "WINDOW_UPDATE of 3 bytes", FRAME_SIZE_ERROR,
     lambda s: frame(WINDOW_UPDATE, 0, s, bytes(3))),
    ("9113 6.9", "WINDOW_UPDATE of 0 for the connection", PROTOCOL_ERROR,
     lambda s: window_update(0, 0)),
    ("9113 6.9", "WINDOW_UPDATE on an idle stream", PROTOCOL_ERROR,
     lambda s: window_update(s + 2, 1)),
    ("9113 6.9.1", "the connection's window overflows", FLOW_CONTROL_ERROR,
     lambda s: window_update(0, 0x7fffffff)),
    ("9113 6.10", "CONTINUATION on stream 0", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, 0, s, OK) + frame(CONTINUATION, 4, 0)),
    ("9113 6.10", "CONTINUATION without HEADERS", PROTOCOL_ERROR,
     lambda s: frame(CONTINUATION, 4, s, OK)),
    ("9113 6.10", "CONTINUATION after END_HEADERS", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(CONTINUATION, 4, s)),
    ("9113 6.10", "CONTINUATION of another stream", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, 1, s, OK) + frame(CONTINUATION, 4, s + 2)),
    ("9113 6.10", "a PING between HEADERS and CONTINUATION", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, 1, s, OK) + frame(PING, 0, 0, bytes(8)) +
     frame(CONTINUATION, 4, s)),
    ("9113 6.10", "an unknown frame within a block", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, 1, s, OK) + frame(UNKNOWN) +
     frame(CONTINUATION, 4, s)),
    ("9113 6.10", "DATA within a block", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, 0, s, OK) + frame(DATA, 1, s, b"x")),
    ("9113 5.1", "DATA on an idle stream", PROTOCOL_ERROR,
     lambda s: frame(DATA, 1, s + 2, b"x")),
    ("9113 5.1", "HEADERS on an idle stream", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END, s + 2, OK)),
    ("9113 5.1.1", "HEADERS on a stream of the server's", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END, 2, OK)),
    ("9113 6.1", "padding longer than its frame", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(DATA, PADDED, s, bytes([5]) + b"abcd")),
    ("9113 6.2", "padding that takes the whole block", PROTOCOL_ERROR,
     lambda s: frame(HEADERS, END | PADDED, s, bytes([2]) + OK)),
    ("9113 6.1", "padding without its length", FRAME_SIZE_ERROR,
     lambda s: frame(HEADERS, END_HEADERS, s, OK) + frame(DATA, PADDED, s)),
    ("9113 6.2", "HEADERS too short for its priority", FRAME_SIZE_ERROR,
     lambda s: frame(HEADERS, END | PRIORITY_FLAG, s, bytes(4))),
    ("9113 6.5.2", "INITIAL_WINDOW_SIZE of 2^31", FLOW_CONTROL_ERROR,
     lambda s: settings((INITIAL_WINDOW_SIZE, 1 << 31))),
    ("9113 6.5.2", "MAX_FRAME_SIZE of 16383", PROTOCOL_ERROR,
     lambda s: settings((MAX_FRAME_SIZE, 16383))),
    ("9113 6.5.2", "MAX_FRAME_SIZE of 2^24", PROTOCOL_ERROR,
     lambda s: settings((MAX_FRAME_SIZE, 1 << 24))),
    ("9113 6.5.2", "a server enables push", PROTOCOL_ERROR,
     lambda s: settings((ENABLE_PUSH, 1))),
    ("9113 6.9.2", "SETTINGS make a stream's window overflow",
     FLOW_CONTROL_ERROR,
     lambda s: window_update(s, 0x7fffffff - WINDOW) +
     settings((INITIAL_WINDOW_SIZE, 0x7fffffff))),
    ("9113 6.8", "GOAWAY raises its last stream", PROTOCOL_ERROR,
     lambda s: goaway(s) + goaway(s + 2)),
    # --- header compression ---
    ("7541 6.1", "index 0", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x80")),
    ("7541 2.3.3", "an index in neither table", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\xbe")),
    ("7541 2.3.3", "an index of 2^28", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + integer(1 << 28, 7, 0x80))),
    ("7541 5.2", "a Huffman code with EOS", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x00\x84\xff\xff\xff\xff\x00")),
    ("7541 5.2", "Huffman padding of 8 bits", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x00\x82\x1f\xff\x01b")),
    ("7541 5.2", "Huffman padding of zeros", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x00\x81\x18\x01b")),
    ("7541 4.2", "a table size above the announced one", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, integer(4097, 5, 0x20) + OK)),
    ("7541 4.2", "a table size update after a field", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x20")),
    ("7541 5.1", "an integer without end", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, b"\xff" + b"\x80" * 100 + b"\x01")),
    ("7541 5.1", "an integer over 32 bits", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, b"\xff\xff\xff\xff\xff\x7f")),
    ("7541 5.2", "a string longer than its block", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x00\x05ab")),
    ("7541 5.2", "a string of 2^31 bytes", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, OK + b"\x00" + integer(1 << 31))),
    ("7541 5.1", "a block that ends within an integer", COMPRESSION_ERROR,
     lambda s: frame(HEADERS, END, s, b"\xff\x80")),
    # --- abuse ---
    ("9113 10.5.1", "CONTINUATION without end", ENHANCE_YOUR_CALM,
     lambda s: frame(HEADERS, 1, s, OK) +
     40 * frame(CONTINUATION, 0, s, field("a", "x" * 1000))),
    ("9113 10.5.1", "empty CONTINUATION without end", ENHANCE_YOUR_CALM,
     lambda s: frame(HEADERS, 1, s, OK) + 5000 * frame(CONTINUATION, 0, s)),
    ("9113 10.5", "a flood of PING", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(PING, 0, 0, bytes(8))),
    ("9113 10.5", "a flood of PING acknowledgements", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(PING, ACK, 0, bytes(8))),
    ("9113 10.5", "a flood of SETTINGS", ENHANCE_YOUR_CALM,
     lambda s: 5000 * settings((HEADER_TABLE_SIZE, 0))),
    ("9113 10.5", "a flood of SETTINGS acknowledgements", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(SETTINGS, ACK)),
    ("9113 10.5", "SETTINGS with 200 windows each", ENHANCE_YOUR_CALM,
     lambda s: 1500 * settings(
         *((INITIAL_WINDOW_SIZE, n) for n in range(200)))),
    ("9113 10.5", "a flood of PRIORITY", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(PRIORITY, 0, s, bytes(5))),
    ("9113 10.5", "a flood of WINDOW_UPDATE", ENHANCE_YOUR_CALM,
     lambda s: 5000 * window_update(s, 1)),
    ("9113 10.5", "a flood of unknown frames", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(UNKNOWN)),
    ("9113 10.5", "a flood of empty DATA", ENHANCE_YOUR_CALM,
     lambda s: frame(HEADERS, END_HEADERS, s, OK) + 5000 * frame(DATA, 0, s)),
    ("9113 10.5", "a flood of padding", ENHANCE_YOUR_CALM,
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     5000 * frame(DATA, PADDED, s, padded(b"", 20))),
    ("9113 10.5", "a flood of interim responses", ENHANCE_YOUR_CALM,
     lambda s: 5000 * frame(HEADERS, END_HEADERS, s, status(103))),
):
    lost = not name.startswith("GOAWAY raises")
    case(rfc, name, breaks(code, make), log=r"apns: .*; next try" if lost
         else None)

# These answer the push first: it is done, whatever follows.
for rfc, name, code, make in (
    ("9113 5.1", "DATA on a closed stream", STREAM_CLOSED,
     lambda s: HEADERS_OK(s) + frame(DATA, 1, s, b"x")),
    ("9113 5.1", "HEADERS on a closed stream", STREAM_CLOSED,
     lambda s: HEADERS_OK(s) + frame(HEADERS, END, s, OK)),
    ("9113 10.5", "a flood of RST_STREAM", ENHANCE_YOUR_CALM,
     lambda s: HEADERS_OK(s) + 5000 * reset(s, CANCEL)),
):
    def script(c, code=code, make=make):
        r = opens(c)
        r.answered = 200
        c.push_in(make(r.id))
        c.expect_goaway(code)
    case(rfc, name, script, sent=1, pauses=0)

# --- before the server's SETTINGS ---

for rfc, name, code, data in (
    ("9113 3.4", "PING instead of SETTINGS", PROTOCOL_ERROR,
     frame(PING, 0, 0, bytes(8))),
    ("9113 3.4", "an acknowledgement instead of SETTINGS", PROTOCOL_ERROR,
     frame(SETTINGS, ACK)),
    ("9113 3.4", "GOAWAY instead of SETTINGS", PROTOCOL_ERROR, goaway(0)),
    ("9113 3.4", "an answer before all", PROTOCOL_ERROR, HEADERS_OK(1)),
    ("9113 3.4", "HTTP/1.1 within TLS", PROTOCOL_ERROR,
     b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    ("9113 3.4", "another protocol within TLS", PROTOCOL_ERROR,
     b"220 mail.example.com ESMTP ready\r\n"),
    ("9113 4.2", "first SETTINGS over 16384 bytes", FRAME_SIZE_ERROR,
     frame(SETTINGS, 0, 0, bytes(6 * 2731))),
    ("9113 6.5.2", "a bad value in the first SETTINGS", FLOW_CONTROL_ERROR,
     settings((INITIAL_WINDOW_SIZE, 0xffffffff))),
    ("9113 6.5.2", "ENABLE_PUSH of 2 in the first SETTINGS", PROTOCOL_ERROR,
     settings((ENABLE_PUSH, 2))),
):
    case(rfc, name, before_settings(code, data), sent=1, pauses=0,
         log="HTTP/1.1 on this port" if "HTTP/1.1" in name else None)

# --- malformed responses are never taken for success ---

END_ONLY = lambda *fields: lambda s: frame(HEADERS, END, s, b"".join(fields))

for rfc, name, make in (
    ("9113 8.3.2", "no :status", END_ONLY(field("server", "x"))),
    ("9113 8.3.2", "an empty block", END_ONLY()),
    ("9113 8.3", ":status twice", END_ONLY(OK, OK)),
    ("9113 8.3", ":status twice, different", END_ONLY(OK, status(503))),
    ("9113 8.3", ":status after a field", END_ONLY(field("server", "x"), OK)),
    ("9113 8.3", "an unknown pseudo-header", END_ONLY(OK, field(":ok", "1"))),
    ("9113 8.3", "a request's pseudo-header",
     END_ONLY(OK, field(":path", "/"))),
    ("9113 8.3.2", ":status of two digits", END_ONLY(status("20"))),
    ("9113 8.3.2", ":status of four digits", END_ONLY(status("2000"))),
    ("9113 8.3.2", ":status with letters", END_ONLY(status("2OO"))),
    ("9113 8.3.2", ":status with a sign", END_ONLY(status("+20"))),
    ("9113 8.3.2", ":status with a blank", END_ONLY(status("200 "))),
    ("9113 8.3.2", ":status empty", END_ONLY(status(""))),
    ("9113 8.3.2", ":status 099", END_ONLY(status("099"))),
    ("9110 15", ":status 600", END_ONLY(status("600"))),
    ("9113 8.6", "101", END_ONLY(status("101"))),
    ("9113 8.1", "an interim response that ends the stream",
     END_ONLY(status("100"))),
    ("9113 8.2.1", "an upper-case name", END_ONLY(OK, field("Server", "x"))),
    ("9113 8.2.1", "a blank in a name", END_ONLY(OK, field("a b", "x"))),
    ("9113 8.2.1", "a colon in a name", END_ONLY(OK, field("a:b", "x"))),
    ("9113 8.2.1", "an empty name", END_ONLY(OK, field("", "x"))),
    ("9113 8.2.1", "a byte over 0x7f in a name",
     END_ONLY(OK, field(b"\xc3\xa4", "x"))),
    ("9113 8.2.1", "NUL in a value", END_ONLY(OK, field("a", b"b\0c"))),
    ("9113 8.2.1", "a line end in a value",
     END_ONLY(OK, field("a", b"b\r\nc: d"))),
    ("9113 8.2.1", "a value that begins with a blank",
     END_ONLY(OK, field("a", " b"))),
    ("9113 8.2.2", "connection", END_ONLY(OK, field("connection", "close"))),
    ("9113 8.2.2", "transfer-encoding",
     END_ONLY(OK, field("transfer-encoding", "chunked"))),
    ("9113 8.2.2", "upgrade", END_ONLY(OK, field("upgrade", "h2c"))),
    ("9113 8.2.2", "keep-alive", END_ONLY(OK, field("keep-alive", "9"))),
    ("9113 8.2.2", "proxy-connection",
     END_ONLY(OK, field("proxy-connection", "x"))),
    ("9113 8.2.2", "te", END_ONLY(OK, field("te", "gzip"))),
    ("9113 8.1", "DATA before HEADERS",
     lambda s: frame(DATA, END_STREAM, s, b"x")),
    ("9113 8.1", "DATA after an interim response",
     lambda s: frame(HEADERS, END_HEADERS, s, status(100)) +
     frame(DATA, END_STREAM, s, b"x")),
    ("9113 8.1", "trailers that do not end the stream",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(HEADERS, END_HEADERS, s, field("a", "b"))),
    ("9113 8.1", "a pseudo-header in trailers",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) + HEADERS_OK(s)),
    ("9113 8.1", "an upper-case name in trailers",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(HEADERS, END, s, field("Grpc", "0"))),
    ("9113 8.1.1", "content-length without data",
     END_ONLY(OK, field("content-length", "4"))),
    ("9113 8.1.1", "less data than content-length",
     lambda s: frame(HEADERS, END_HEADERS, s,
                     OK + field("content-length", "4")) +
     frame(DATA, END_STREAM, s, b"abc")),
    ("9113 8.1.1", "more data than content-length",
     lambda s: frame(HEADERS, END_HEADERS, s,
                     OK + field("content-length", "4")) +
     frame(DATA, 0, s, b"abcde")),
    ("9113 8.1.1", "two content-lengths",
     END_ONLY(OK, field("content-length", "0"),
              field("content-length", "1"))),
    ("9113 8.1.1", "content-length -1",
     END_ONLY(OK, field("content-length", "-1"))),
    ("9113 8.1.1", "content-length beyond 64 bits",
     END_ONLY(OK, field("content-length", "18446744073709551616"))),
    ("9110 15.3.5", "204 with data",
     lambda s: frame(HEADERS, END_HEADERS, s, status(204)) +
     frame(DATA, END_STREAM, s, b"x")),
    ("9113 8.1.1", "malformed in CONTINUATION",
     lambda s: frame(HEADERS, END_STREAM, s, OK) +
     frame(CONTINUATION, END_HEADERS, s, field("X", "y"))),
    ("9113 6.9", "WINDOW_UPDATE of 0 for a stream",
     lambda s: window_update(s, 0)),
):
    case(rfc, name, spoils(PROTOCOL_ERROR, make))

case("9113 6.9.1", "a stream's window overflows", spoils(
    FLOW_CONTROL_ERROR, lambda s: window_update(s, 0x7fffffff)))
case("9113 10.5.1", "a header list of 4 MB in 1000 indices", spoils(
    ENHANCE_YOUR_CALM,
    lambda s: frame(HEADERS, END, s, OK + field("a", "x" * 3900, 0x40) +
                    b"\xbe" * 1000)))

# --- what a server may do: the answer counts, the connection stays ---

for rfc, name, make in (
    ("9113 8.1", "100 and 103 before the answer",
     lambda s: frame(HEADERS, END_HEADERS, s, status(100)) +
     frame(HEADERS, END_HEADERS, s, status(103) + field("link", "x")) +
     HEADERS_OK(s)),
    ("9113 8.1", "trailers",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(HEADERS, END, s, field("a", "b"))),
    ("9113 8.1", "data and trailers",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) + frame(DATA, 0, s, b"x") +
     frame(HEADERS, END, s, field("a", "b"))),
    ("9113 8.1", "a body with 200",
     lambda s: frame(HEADERS, END_HEADERS, s,
                     OK + field("content-length", "5")) +
     frame(DATA, END_STREAM, s, b"hello")),
    ("9113 8.1", "empty DATA ends it",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(DATA, END_STREAM, s)),
    ("9113 8.1.1", "the same content-length twice",
     END_ONLY(OK, field("content-length", "0"),
              field("content-length", "0"))),
    ("9113 6.1", "padded DATA",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(DATA, END_STREAM | PADDED, s, padded(b"x", 255))),
    ("9113 6.1", "DATA of nothing but padding",
     lambda s: frame(HEADERS, END_HEADERS, s, OK) +
     frame(DATA, END_STREAM | PADDED, s, padded(b"", 0))),
    ("9113 6.2", "padded HEADERS with priority",
     lambda s: frame(HEADERS, END | PADDED | PRIORITY_FLAG, s,
                     padded(bytes(5) + OK, 200))),
    ("9113 6.10", "a block in one-byte CONTINUATIONs",
     lambda s: frame(HEADERS, END_STREAM, s) + b"".join(
         frame(CONTINUATION, 0, s, bytes([b]))
         for b in OK + field("server", "x" * 30)) +
     frame(CONTINUATION, END_HEADERS, s)),
    ("9113 6.10", "a block of 16 KB in two frames",
     lambda s: frame(HEADERS, END_STREAM, s, OK + field("a", "x" * 8000)) +
     frame(CONTINUATION, END_HEADERS, s, field("b", "x" * 8000))),
    ("9113 5.5", "unknown frames, flags and settings",
     lambda s: frame(UNKNOWN, 0xff, s, b"what") + frame(UNKNOWN) +
     settings((0xf000, 9), (0, 1)) + frame(PING, 0xf0, 0, bytes(8)) +
     frame(HEADERS, END | 0xd0, s, OK)),
    ("9113 4.1", "the reserved bit of a stream id",
     lambda s: frame(HEADERS, END, s | 1 << 31, OK)),
    ("9113 6.3", "PRIORITY on any stream",
     lambda s: frame(PRIORITY, 0, 99, bytes(5)) +
     frame(PRIORITY, 0, s, u32(s) + b"\0") + HEADERS_OK(s)),
    ("9113 5.1", "late WINDOW_UPDATE and RST_STREAM",
     lambda s: HEADERS_OK(s) + window_update(s, 1) + reset(s, NO_ERROR)),
    ("9113 6.7", "an acknowledgement of no PING",
     lambda s: frame(PING, ACK, 0, b"whatever") + HEADERS_OK(s)),
    ("7541 4.2", "the server's table size goes to 0 and back",
     lambda s: frame(HEADERS, END, s, b"\x20" + integer(4096, 5, 0x20) + OK +
                     field("a", "b", 0x40) + b"\xbe")),
    ("7541 4.4", "an entry larger than the table",
     lambda s: frame(HEADERS, END, s, OK + field("a", "x" * 5000, 0x40))),
    ("7541 6.2.3", "never indexed fields",
     lambda s: frame(HEADERS, END, s, OK + field("a", "b", 0x10))),
    ("9113 6.5.2", "all settings at their ends",
     lambda s: settings((HEADER_TABLE_SIZE, 0xffffffff), (ENABLE_PUSH, 0),
                        (MAX_CONCURRENT_STREAMS, 0xffffffff),
                        (INITIAL_WINDOW_SIZE, 0x7fffffff),
                        (MAX_FRAME_SIZE, 0xffffff),
                        (MAX_HEADER_LIST_SIZE, 0)) + HEADERS_OK(s)),
    ("9113 6.5", "a setting several times in one frame",
     lambda s: settings(*((HEADER_TABLE_SIZE, n) for n in range(500))) +
     HEADERS_OK(s)),
    ("9113 10.5", "PINGs below the bound",
     lambda s: 500 * frame(PING, 0, 0, bytes(8)) + HEADERS_OK(s)),
):
    case(rfc, name, lives_with(make), sent=1, pauses=0)

# --- the server's settings ---


def answers(c, n):
    for _ in range(n):
        c.answer(c.request())


@scripted("7541 4.2", "HEADER_TABLE_SIZE 0 and back", pushes=6, sent=6,
          pauses=0)
def script(c):
    """hpack's decoder checks the size updates."""
    c.open()
    answers(c, 1)
    c.settings((HEADER_TABLE_SIZE, 0))
    c.settings((HEADER_TABLE_SIZE, 4096))
    answers(c, 2)
    c.settings((HEADER_TABLE_SIZE, 0))
    answers(c, 1)
    c.settings((HEADER_TABLE_SIZE, 100))
    answers(c, 1)
    c.settings((HEADER_TABLE_SIZE, 1 << 20))
    answers(c, 1)
    c.until(lambda: c.settings_acks >= 6, "acknowledgements")
    c.serve()


@scripted("9113 6.5.2", "HEADER_TABLE_SIZE 0 from the start", pushes=3,
          sent=3, pauses=0)
def script(c):
    c.open((HEADER_TABLE_SIZE, 0))
    answers(c, 3)
    c.serve()


def no_body_yet(c, r, have=0):
    """A request whose body waits for the window.  Twice, since what waited is
    sent after the acknowledgement."""
    c.round_trip()
    c.round_trip()
    if r.complete or len(r.body) != have:
        raise Wrong("%d bytes of body, complete %s, not %d" % (
            len(r.body), r.complete, have))


@scripted("9113 6.9.2", "INITIAL_WINDOW_SIZE 0, then WINDOW_UPDATE",
          sent=1, pauses=0)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 0))
    r = c.request(complete=False)
    no_body_yet(c, r)
    c.send(window_update(r.id, 10))
    no_body_yet(c, r, 10)
    c.send(window_update(r.id, 1000))
    c.until(lambda: r.complete, "rest of the body")
    c.answer(r)
    c.serve()


@scripted("9113 6.9.2", "INITIAL_WINDOW_SIZE 0, then raised", sent=1,
          pauses=0)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 0))
    r = c.request(complete=False)
    no_body_yet(c, r)
    c.settings((INITIAL_WINDOW_SIZE, 1000))
    c.until(lambda: r.complete, "the body")
    c.answer(r)
    c.serve()


@scripted("9113 6.9.2", "INITIAL_WINDOW_SIZE 2^31-1", sent=1, pauses=0)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 0x7fffffff))
    answers(c, 1)
    c.serve()


@scripted("9113 6.9.2", "a window below zero amid a body", sent=1, pauses=0)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 40))
    r = c.request(complete=False)
    no_body_yet(c, r, 40)
    c.settings((INITIAL_WINDOW_SIZE, 0))    # -40
    no_body_yet(c, r, 40)
    c.send(window_update(r.id, 40))         # 0
    no_body_yet(c, r, 40)
    c.send(window_update(r.id, 5))
    no_body_yet(c, r, 45)
    c.settings((INITIAL_WINDOW_SIZE, 1000))
    c.until(lambda: r.complete, "rest of the body")
    c.answer(r)
    c.serve()


@scripted("9113 6.9", "a window opened byte by byte", sent=1, pauses=0)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 0))
    r = c.request(complete=False)
    while not r.complete:
        have = len(r.body)
        c.send(window_update(r.id, 1))
        c.until(lambda: len(r.body) > have, "a byte")
        if len(r.body) != have + 1:
            raise Wrong("more than the window")
    c.answer(r)
    c.serve()


@scripted("9113 8.1", "an answer while the body waits", sent=1, pauses=0)
def script(c):
    """The answer counts; the rest of the body is cancelled."""
    c.open((INITIAL_WINDOW_SIZE, 0))
    r = c.request(complete=False)
    c.answer(r)
    c.expect_reset(r.id, CANCEL)
    c.settings((INITIAL_WINDOW_SIZE, WINDOW))
    c.serve()


@scripted("9113 5.1.2", "MAX_CONCURRENT_STREAMS 0, then 1", pushes=3, sent=3,
          pauses=0)
def script(c):
    c.open((MAX_CONCURRENT_STREAMS, 0))
    c.round_trip()
    c.round_trip()
    if c.requests:
        raise Wrong("a request although none is allowed")
    c.settings((MAX_CONCURRENT_STREAMS, 1))
    for n in range(3):
        r = c.request()
        c.round_trip()
        if len(c.requests) != n + 1:
            raise Wrong("two requests at once")
        c.answer(r)
    c.serve()


@scripted("9113 5.1.2", "MAX_CONCURRENT_STREAMS below what is open", pushes=6,
          sent=6, pauses=0)
def script(c):
    c.open((MAX_CONCURRENT_STREAMS, 4))
    c.requests_in_all(4)
    c.settings((MAX_CONCURRENT_STREAMS, 1))
    c.round_trip()
    for r in c.requests[:3]:
        c.answer(r)
    c.round_trip()
    if len(c.requests) != 4:
        raise Wrong("a request beyond what is allowed")
    c.answer(c.requests[3])
    c.requests_in_all(5)
    c.round_trip()
    if len(c.requests) != 5:
        raise Wrong("two requests at once")
    c.serve()


# --- RST_STREAM ---

for code, name in ((NO_ERROR, "NO_ERROR"), (PROTOCOL_ERROR, "PROTOCOL_ERROR"),
                   (INTERNAL_ERROR, "INTERNAL_ERROR"), (CANCEL, "CANCEL"),
                   (FLOW_CONTROL_ERROR, "FLOW_CONTROL_ERROR"),
                   (STREAM_CLOSED, "STREAM_CLOSED"),
                   (ENHANCE_YOUR_CALM, "ENHANCE_YOUR_CALM"),
                   (HTTP_1_1_REQUIRED, "HTTP_1_1_REQUIRED"),
                   (0xdeadbeef, "an unknown code")):
    def script(c, code=code):
        r = opens(c)
        c.send(reset(r.id, code))
        c.answer(c.request())
        c.serve()
    case("9113 5.4.2", "RST_STREAM with " + name, script)


def refuses(c):
    """The daemon leaves and tries another connection."""
    r = opens(c)
    c.send(reset(r.id, REFUSED_STREAM))
    c.expect_goaway(NO_ERROR)


case("9113 8.7", "REFUSED_STREAM once", refuses, pauses=0)
case("9113 8.7", "REFUSED_STREAM again and again", [refuses] * 6, sent=7,
     pauses=5)


@scripted("9113 8.7", "one of three is refused", pushes=3, sent=4, pauses=0)
def script(c):
    """The others are answered where they are."""
    c.open()
    c.requests_in_all(3)
    c.send(reset(c.requests[1].id, REFUSED_STREAM))
    c.until(lambda: c.goodbye is not None, "GOAWAY")
    c.answer(c.requests[0])
    c.answer(c.requests[2])
    c.expect_goaway(NO_ERROR)


@scripted("9113 5.4.2", "a reset after half an answer")
def script(c):
    r = opens(c)
    c.send(frame(HEADERS, END_HEADERS, r.id, OK) + reset(r.id, NO_ERROR))
    c.answer(c.request())
    c.serve()


@scripted("9113 8.1", "the connection ends after half an answer")
def script(c):
    r = opens(c)
    c.send(frame(HEADERS, END_HEADERS, r.id, OK) + frame(DATA, 0, r.id, b"x"))


# --- GOAWAY ---


@scripted("9113 6.8", "GOAWAY in two steps", pushes=1, sent=1, pauses=0)
def script(c):
    """The one under way is answered there, after the daemon has dialled."""
    r = opens(c)
    before = c.server.accepted
    c.send(goaway(0x7fffffff))
    c.round_trip()
    c.send(goaway(r.id))
    c.server.wait(lambda: c.server.accepted > before, "new connection")
    c.answer(r)
    c.expect_end()


@scripted("9113 6.8", "GOAWAY before any request", sent=1, pauses=0)
def script(c):
    c.open((MAX_CONCURRENT_STREAMS, 0))
    c.send(goaway(0))
    c.expect_end()


@scripted("9113 6.8", "GOAWAY, last stream below the request", pauses=0)
def script(c):
    opens(c)
    c.send(goaway(0))
    c.expect_end()


@scripted("9113 6.8", "GOAWAY with an error and a reason", pauses=0,
          log="ENHANCE_YOUR_CALM.*Shutdown")
def script(c):
    opens(c)
    c.send(goaway(0, ENHANCE_YOUR_CALM, b'{"reason":"Shutdown"}'))
    c.expect_end()


@scripted("9113 6.8", "GOAWAY with an error, the request may be processed")
def script(c):
    r = opens(c)
    c.send(goaway(r.id, INTERNAL_ERROR))


@scripted("9113 6.8", "GOAWAY and the end in one write")
def script(c):
    r = opens(c)
    c.send(goaway(r.id))
    c.close_notify()


@scripted("9113 6.8", "GOAWAY splits those under way", pushes=3, sent=5,
          pauses=0)
def script(c):
    """The first is answered, the other two go elsewhere at once."""
    c.open()
    c.requests_in_all(3)
    first = c.requests[0]
    c.send(goaway(first.id))
    c.answer(first)
    c.expect_end()


@scripted("9113 6.8", "GOAWAY with 16 KB of debug data", pauses=0)
def script(c):
    opens(c)
    c.send(goaway(0, NO_ERROR, b"x" * 16376))
    c.expect_end()


def log_is_clean(rig, log):
    assert "\x1b" not in log and "\a" not in log
    assert not re.search(r"^<0>forged", log, re.M), log


@scripted("9113 6.8", "GOAWAY with a forged log line", pauses=0,
          after=log_is_clean)
def script(c):
    opens(c)
    c.send(goaway(0, NO_ERROR, b"a\n<0>forged: line\x1b[2J\a\0\xff"))
    c.expect_end()


def says_goaway(c):
    opens(c)
    c.send(goaway(0))
    c.expect_end()


case("9113 6.8", "every connection says GOAWAY", [says_goaway] * 6, sent=7,
     pauses=5)


@scripted("9113 6.8", "GOAWAY, then the answer never comes", hasty=True)
def script(c):
    r = opens(c)
    c.send(goaway(r.id))
    c.expect_end()


# --- bodies ---


# 10 MB serve as an endless one: pushTimeout is 10 min here.
ENDLESS = bytes(10 << 20)


def body_is_cut(rig, log):
    assert "Apple answered 503" in log


def never_ends(c, r, *fields):
    """A body that the daemon has to cancel, and before 64 KiB."""
    c.headers(r.id, *fields, flags=END_HEADERS)
    c.send_body(r.id, ENDLESS)
    c.expect_reset(r.id, CANCEL)


@scripted("9113 8.1", "an error's body without end", after=body_is_cut)
def script(c):
    never_ends(c, opens(c), status(503))
    c.answer(c.request())
    c.serve()


@scripted("9113 8.1", "a 200's body without end: it counts", sent=1, pauses=0)
def script(c):
    r = opens(c)
    r.answered = 200
    never_ends(c, r, OK)
    c.serve()


@scripted("9113 8.1", "many bodies without end on one connection", sent=20,
          pauses=0, pushes=20)
def script(c):
    # Its window is given back, or it would stop at the second.
    opens(c)
    c.requests_in_all(20)
    for r in list(c.requests):
        r.answered = 200
        r.taken = True
        never_ends(c, r, OK)
    c.serve()


@scripted("9113 6.9", "a body in bytes, each its frame and TLS record",
          sent=1, pauses=0, wakeups=1500)
def script(c):
    r = opens(c)
    r.answered = 200
    c.headers(r.id, OK, flags=END_HEADERS)
    for n in range(600):
        c.send(frame(DATA, 0, r.id, b"x"))
    c.send(frame(DATA, END_STREAM, r.id))
    c.serve()


# --- time (pushTimeout 12 s) ---


@scripted("9113 3.4", "silence after accept", sent=1, pauses=0, hasty=True,
          log=r"no TLS connection within \d+ s")
def script(c):
    c.sock.settimeout(LIMIT_S)
    while c.sock.recv(65536):
        pass


@scripted("8446 4.1.3", "half a ServerHello, then silence", sent=1, pauses=0,
          hasty=True, log=r"no TLS connection within \d+ s")
def script(c):
    c.sock.settimeout(LIMIT_S)
    c.sock.recv(65536)
    c.raw(b"\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03")
    while c.sock.recv(65536):
        pass


@scripted("8446 4.1.3", "a TLS handshake byte by byte", sent=1, pauses=0,
          hasty=True, log=r"no TLS connection within \d+ s")
def script(c):
    c.sock.settimeout(LIMIT_S)
    c.sock.recv(65536)
    with contextlib.suppress(OSError):
        for byte in b"\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03" * 8:
            c.raw(bytes([byte]))
            time.sleep(0.5)
        raise Wrong("the daemon waited 44 s")


@scripted("9113 3.4", "silence after TLS", sent=1, pauses=0, hasty=True,
          log=r"no HTTP/2 SETTINGS from the server within \d+ s")
def script(c):
    c.polite = False
    c.handshake()
    c.expect_end()


@scripted("9113 3.4", "SETTINGS byte by byte", sent=1, pauses=0, hasty=True,
          log=r"no HTTP/2 SETTINGS from the server within \d+ s")
def script(c):
    c.handshake()
    with contextlib.suppress(OSError):
        c.send(settings(*[(MAX_CONCURRENT_STREAMS, 10)] * 15), 1, 0.5)
        raise Wrong("the daemon waited 49 s")


@scripted("9113 6.7", "silence after the request", hasty=True,
          log="does not answer a PING")
def script(c):
    opens(c)
    c.polite = False
    c.expect_end()
    if c.pings != 1:
        raise Wrong("%d PINGs" % c.pings)


@scripted("9113 6.7", "a byte now and then, no acknowledgement", hasty=True,
          log="does not answer a PING")
def script(c):
    r = opens(c)
    c.polite = False
    with contextlib.suppress(OSError):
        c.send(frame(HEADERS, END, r.id, OK + field("a", "x" * 200)), 1, 0.2)
        raise Wrong("the daemon waited 40 s")


@scripted("9113 5.4.2", "PING is answered, the request never", hasty=True)
def script(c):
    r = opens(c)
    c.expect_reset(r.id, CANCEL)
    if c.pings < 1:
        raise Wrong("no PING")
    c.answer(c.request())
    c.serve()


@scripted("9113 5.4.2", "an answer without end", hasty=True)
def script(c):
    r = opens(c)
    c.headers(r.id, OK, flags=END_HEADERS)
    c.expect_reset(r.id, CANCEL)
    c.send(frame(DATA, END_STREAM, r.id, b"too late"))  # 5.1: is ignored
    c.answer(c.request())
    c.serve()


@scripted("9113 5.1.2", "MAX_CONCURRENT_STREAMS 0 for ever", sent=1, pauses=0,
          hasty=True, log="takes no request")
def script(c):
    """Alive, but of no use: another connection may be."""
    c.open((MAX_CONCURRENT_STREAMS, 0))
    c.expect_end()


@scripted("9113 10.5", "DATA without end on a stream that we cancelled",
          hasty=True)
def script(c):
    r = opens(c)
    c.headers(r.id, OK, flags=END_HEADERS)
    c.expect_reset(r.id, CANCEL)
    c.answer(c.request())
    c.push_in(4000 * frame(DATA, 0, r.id, bytes(16384)))
    c.expect_goaway(ENHANCE_YOUR_CALM)


@scripted("9113 6.9.2", "a window of 0 for ever", hasty=True)
def script(c):
    c.open((INITIAL_WINDOW_SIZE, 0))
    r = c.request(complete=False)
    c.expect_reset(r.id, CANCEL)
    c.settings((INITIAL_WINDOW_SIZE, WINDOW))
    c.answer(c.request())
    c.serve()


@scripted("9113 10.5", "a server that stops reading", hasty=True,
          log="does not answer a PING", wakeups=1500)
def script(c):
    """And makes the daemon say things: its output may not grow."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    opens(c)
    # TCP may hear of its end much later
    before = c.server.accepted
    with contextlib.suppress(OSError):
        for n in range(500):    # below the bound of 1000 at once
            if c.server.accepted > before:
                return
            c.send(frame(PING, 0, 0, bytes(8)) * (9 if n < 60 else 1))
            time.sleep(0.1)
        raise Wrong("the daemon waited 50 s")


# --- TLS ---


def context_of(script, **options):
    """options: of server_context(), or make(certs)."""
    script.context_options = options
    return script


@scripted("8446 5.1", "all in TLS records of one byte", sent=1, pauses=0,
          wakeups=1500)
def script(c):
    c.handshake()
    c.send(settings((MAX_CONCURRENT_STREAMS, 10)), 1)
    r = c.request()
    r.answered = 200
    c.send(frame(HEADERS, END, r.id, OK + field("server", "x" * 50)), 1)
    c.round_trip()
    c.serve()


@scripted("8446 5.1", "all in one record, several frames", sent=1, pauses=0)
def script(c):
    r = opens(c)
    r.answered = 200
    c.send(settings() + frame(PING, 0, 0, bytes(8)) + HEADERS_OK(r.id) +
           window_update(0, 5) + frame(UNKNOWN, 0, 0, bytes(4000)))
    c.serve()


@scripted("8446 6.1", "the end without close_notify",
          log="closed the connection")
def script(c):
    opens(c)


@scripted("8446 6.1", "close_notify with a request under way",
          log="closed the connection")
def script(c):
    opens(c)
    c.close_notify()


@scripted("8446 6.1", "an answer and close_notify in one", sent=1, pauses=0)
def script(c):
    r = opens(c)
    r.answered = 200
    c.tls.write(HEADERS_OK(r.id))
    c.close_notify()


@scripted("9113 3.4", "close_notify instead of SETTINGS", sent=1, pauses=0,
          log="before its SETTINGS")
def script(c):
    c.handshake()
    c.close_notify()


@scripted("9113 3.4", "the end instead of SETTINGS", sent=1, pauses=0,
          log="before its SETTINGS")
def script(c):
    c.handshake()


@scripted("8446 6.2", "a TLS alert amid the connection",
          log="alert bad_record_mac")
def script(c):
    opens(c)
    c.alert()


@scripted("8446 5.2", "a damaged record", log="damaged")
def script(c):
    opens(c)
    c.raw(b"\x17\x03\x03\x00\x40" + os.urandom(64))
    c.wait_end()


@scripted("8446 5.1", "no TLS amid the connection",
          log="not TLS|broke the TLS|damaged")
def script(c):
    opens(c)
    c.raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    c.wait_end()


@scripted("8446 5.1", "a TLS record over its limit",
          log="not TLS|broke the TLS|damaged")
def script(c):
    opens(c)
    c.raw(b"\x17\x03\x03\xff\xff" + bytes(65535))
    c.wait_end()


@scripted("9293 3.5.2", "TCP reset with a request under way",
          log="connection broke|reset by peer")
def script(c):
    opens(c)
    c.abort()


@scripted("9293 3.5.2", "TCP reset at once", sent=1, pauses=0)
def script(c):
    c.abort()


@scripted("9110 15.5", "plain HTTP/1.1 on the port", sent=1, pauses=0,
          log="speaks plain HTTP on this port, not TLS")
def script(c):
    c.sock.settimeout(LIMIT_S)
    c.sock.recv(65536)
    c.raw(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while c.sock.recv(65536):
            pass


@scripted("8446 5.1", "another protocol on the port", sent=1, pauses=0,
          log="not TLS")
def script(c):
    c.sock.settimeout(LIMIT_S)
    c.raw(b"220 mail.example.com ESMTP ready\r\n")
    with contextlib.suppress(ConnectionError):
        while c.sock.recv(65536):
            pass


def hello_then(data):
    """An answer to the ClientHello made by hand."""
    def script(c):
        c.sock.settimeout(LIMIT_S)
        c.sock.recv(65536)
        c.raw(data)
        with contextlib.suppress(ConnectionError):
            while c.sock.recv(65536):
                pass
    return script


def server_hello(version, extensions=b""):
    body = version + bytes(range(32)) + b"\0\xc0\x2b\0"
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    hello = b"\x02" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x03" + struct.pack(">H", len(hello)) + hello


case("7301 3.2", "the alert no_application_protocol",
     hello_then(b"\x15\x03\x03\x00\x02\x02\x78"), sent=1, pauses=0,
     log="no_application_protocol.*does not speak HTTP/2")
case("7301 3.2", "a ServerHello that chooses http/1.1",
     hello_then(server_hello(b"\x03\x03", b"\x00\x10\x00\x0b\x00\x09\x08"
                             b"http/1.1")),
     sent=1, pauses=0, log="broke the TLS protocol|HTTP/2")
case("8996 5", "a ServerHello of TLS 1.1", hello_then(
    server_hello(b"\x03\x02")), sent=1, pauses=0,
    # which mbedTLS 2.28 tells from nonsense, 3.6 does not
    log="only a TLS version older than 1.2|broke the TLS protocol")
case("8446 6.2", "the alert internal_error", hello_then(
    b"\x15\x03\x03\x00\x02\x02\x50"), sent=1, pauses=0,
    log="internal_error.*fault is on its side")


def shakes_hands(c):
    """No connection may come of it."""
    try:
        c.open()
        c.wait_end()
    except (ssl.SSLError, OSError):
        return
    if c.got_preface:
        raise Wrong("the daemon speaks HTTP/2 to it")


def tls_case(rfc, name, log, script=shakes_hands, **options):
    def with_context(c):
        script(c)
    case(rfc, name, context_of(with_context, **options), sent=1, pauses=0,
         log=log)


def pem(folder, key, *certificates):
    path = os.path.join(folder, "%016x.pem" % id(key))
    return write(path, *map(cert_pem, certificates), key_pem(key))


def chain_of(**options):
    """A server certificate by the trusted CA."""
    return lambda certs, folder: pem(folder, *certs.issuer.server(**options))


def unknown_ca(certs, folder):
    ca = CA("Somebody's CA")
    key, cert = ca.server()
    return pem(folder, key, cert, ca.cert)


def incomplete(certs, folder):
    between = CA("Issuing CA", parent=certs.issuer)
    return pem(folder, *between.server())


def self_signed(certs, folder):
    ca = CA("localhost")
    return pem(folder, *ca.server(key=ca.key))


tls_case("7301 3.2", "no ALPN", r"does not speak HTTP/2 \(TLS ALPN", alpn=())
tls_case("7301 3.2", "ALPN http/1.1 only", r"does not speak HTTP/2",
         alpn=("http/1.1",))
tls_case("6125 6", "a certificate of another name",
         r'is for "api.example.org", not for .*apnsHost',
         make=chain_of(names=["api.example.org"], addresses=[]))
tls_case("5280 4.1.2.5", "an expired certificate",
         r"expired on .*is the clock right",
         make=chain_of(age_days=20, days=-10))
tls_case("5280 4.1.2.5", "a certificate not valid yet",
         r"not valid before .*is the clock right",
         make=chain_of(age_days=-10))
tls_case("5280 6", "an unknown CA",
         r'unknown CA "Somebody\'s CA".*apnsCaFile', make=unknown_ca)
tls_case("5280 6", "an incomplete chain",
         r'issued by "Issuing CA".*incomplete chain', make=incomplete)
tls_case("5280 6", "a self-signed certificate",
         r"self-signed certificate .*apnsCaFile", make=self_signed)
tls_case("8996 5", "TLS 1.1 only", r"no TLS version.* in common|older than 1.2",
         tls11=True)
tls_case("5246 7.4.6", "a client certificate is wanted, there is none",
         r"handshake_failure .*client certificate|certificate_required",
         client_cert=True)


# --- the cases' machinery ---


class Rig:
    """A server and a daemon that share cases."""

    def __init__(self, certs, hasty):
        self.certs, self.hasty = certs, hasty
        self.count = 0
        self.stack = contextlib.ExitStack()
        self.xapsd = None

    def start(self):
        self.folder = tempfile.mkdtemp(prefix="xh-")
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = self.stack.enter_context(
            RawServer(server_context(self.certs.server)))
        self.xapsd = self.stack.enter_context(Xapsd(
            self.folder, self.certs, apple=self.server,
            retryMin="50ms", retryMax="200ms",
            # even the short one is longer than a busy machine stands still
            pushTimeout="12s" if self.hasty else "10m"))
        # what is touched once: a push, a lost connection, a table
        for _ in range(3):
            self.push(self.prepare())
            self.server.drop()
        self.settle(self.push(self.prepare()))
        self.base_kib = self.xapsd.rss_kib()

    def prepare(self, n=1):
        """Registers n devices; their (user, token)."""
        self.count += 1
        self.log_at = self.xapsd.log_size()
        devices = [("u%d-%d" % (self.count, i),
                    "%04x%04x%056x" % (self.count, i, 0xfeed))
                   for i in range(n)]
        for user, token in devices:
            self.xapsd.register(user, ACCOUNT, token)
        return devices

    def push(self, devices):
        for user, _ in devices:
            assert self.xapsd.notify(user).status == 200
        return devices

    def status(self):
        return self.xapsd.status()

    def settle(self, devices):
        """Until all of them are delivered and nothing waits."""
        def answered():
            return all(any(r.answered == 200 for r in self.server.to(token))
                       for _, token in devices)
        self.server.wait(answered, "delivery", 2 * LIMIT_S)

        def delivered():
            done = set(re.findall(r"push: (\S+): .*: delivered to Apple$",
                                  self.xapsd.log(self.log_at), re.M))
            return done.issuperset(user for user, _ in devices)
        # without a question, which would wake the daemon
        self.xapsd.wait_until(delivered, "log of the delivery")

        def idle():
            status = self.status()
            return status["queue"] == 0 and status
        return self.xapsd.wait_until(idle, "empty queue")

    def close(self):
        self.stack.close()
        self.xapsd = None


def wakeups(xapsd):
    text = pathlib.Path("/proc/%d/status" % xapsd.process.pid).read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])


@pytest.fixture(scope="module")
def rigs(certs):
    made = {False: Rig(certs, False), True: Rig(certs, True)}
    yield made
    for rig in made.values():
        rig.close()


def make_context(script, certs, folder):
    """The context that a script's connection needs, if not the server's."""
    options = dict(getattr(script, "context_options", None) or {})
    if not options:
        return
    make = options.pop("make", None)
    tls11 = options.pop("tls11", False)
    client_cert = options.pop("client_cert", False)
    context = server_context(
        make(certs, folder) if make else certs.server, **options)
    if tls11:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():     # Python finds it too old
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    if client_cert:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certs.ca)
    script.context = context


def play(rig, case):
    x, server = rig.xapsd, rig.server
    scripts = case.script if isinstance(case.script, list) else [case.script]
    for script in scripts:
        make_context(script, rig.certs, rig.folder)
    devices = rig.prepare(case.pushes)
    before, pid = rig.status(), x.process.pid
    cpu_s, woken, log_at = x.cpu_s(), wakeups(x), x.log_size()
    accepted, begun = server.accepted, time.monotonic()

    # the healthy connection ends: the next is the case's
    server.plan(*scripts, drop=True)
    server.wait(lambda: server.accepted > accepted, "connection")
    rig.push(devices)
    server.finish()
    after = rig.settle(devices)

    x.assert_alive()
    assert x.process.pid == pid
    log = x.log(log_at)
    sent = [r for _, token in devices for r in server.to(token)]
    # A server that stood still for 8 s is given up: what was under way there
    # is sent once more.
    late = log.count("the server does not answer a PING; next try") - (
        "PING" in (case.log or ""))
    if late > 0 and time.monotonic() - begun >= 8 * late:
        assert len(sent) >= case.sent, log
        assert after["delivered"] - before["delivered"] == case.pushes, log
        return
    assert len(sent) == case.sent, log
    for _, token in devices:
        done = [r for r in server.to(token) if r.answered == 200]
        assert len(done) == 1, "a push was answered %d times" % len(done)
    assert after["delivered"] - before["delivered"] == case.pushes, log
    assert after["dropped"] == before["dropped"], log
    if case.pauses is not None:
        users = "|".join(re.escape(user) for user, _ in devices)
        pauses = re.findall("push: (?:%s): .*-> paused$" % users, log, re.M)
        assert len(pauses) == case.pauses, log
    if case.log:
        assert re.search(case.log, log), log
    if case.after:
        case.after(rig, log)
    if not is_instrumented():
        used_s = x.cpu_s() - cpu_s
        assert used_s < CPU_MAX_S, "%.2f s of CPU time" % used_s
        assert x.rss_kib() <= rig.base_kib + GROWTH_MAX_KIB
    assert wakeups(x) - woken < case.wakeups


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_hostile(rigs, case):
    rig = rigs[case.hasty]
    if rig.xapsd is None:
        rig.start()
    at = rig.xapsd.log_size()
    try:
        rig.server.forget()
        play(rig, case)
    except BaseException:
        print(rig.xapsd.log(at)[-6000:])
        with contextlib.suppress(Exception):
            rig.close()
        rigs[case.hasty] = Rig(rig.certs, case.hasty)
        raise


def test_there_are_enough_cases():
    """And each has a name of its own."""
    assert len(CASES) >= 80
    assert len({case.id for case in CASES}) == len(CASES)
    assert all(re.match(r"\d{4} \d", case.rfc) for case in CASES)
