/* h2/hpack_tables.h - constants of RFC 7541; for hpack.c alone.
 *
 * Made by tests/tools/hpack_tables.py: change that, not this. */
#ifndef HPACK_TABLES_H
#define HPACK_TABLES_H

#include <stdint.h>

/* clang-format off */

/* Bits of each symbol's code; EOS has 30. */
static const uint8_t huff_len[256] = {
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
};

/* Perfect hash of the static names: the first index that has the
 * name, or 0. */
#define STATIC_HASH(len, first, last)                                      \
	(((len) * 89 + (first) * 66 + (last)) % 128)

static const uint8_t static_slot[128] = {
	0, 32, 0, 0, 29, 55, 50, 48, 0, 0, 0, 0,
	19, 0, 46, 25, 0, 33, 43, 0, 35, 0, 0, 31,
	58, 4, 0, 0, 0, 37, 17, 0, 16, 0, 0, 61,
	0, 0, 0, 45, 38, 53, 0, 0, 0, 0, 54, 0,
	0, 0, 0, 0, 0, 0, 22, 0, 57, 47, 0, 52,
	0, 0, 0, 42, 0, 44, 39, 0, 0, 51, 0, 2,
	6, 59, 0, 0, 28, 0, 0, 0, 56, 0, 0, 20,
	15, 34, 8, 0, 60, 0, 0, 0, 0, 0, 0, 0,
	40, 0, 0, 0, 0, 0, 0, 1, 0, 49, 0, 0,
	36, 0, 0, 0, 30, 0, 21, 0, 0, 23, 0, 24,
	0, 0, 18, 27, 0, 26, 0, 41,
};

#define STATIC_COUNT 61

/* Name and value follow each other in static_text. */
static const struct {
	uint16_t at;
	uint8_t name_len, value_len;
} static_rows[STATIC_COUNT] = {
	{ 0, 10, 0 },
	{ 10, 7, 3 },
	{ 20, 7, 4 },
	{ 31, 5, 1 },
	{ 37, 5, 11 },
	{ 53, 7, 4 },
	{ 64, 7, 5 },
	{ 76, 7, 3 },
	{ 86, 7, 3 },
	{ 96, 7, 3 },
	{ 106, 7, 3 },
	{ 116, 7, 3 },
	{ 126, 7, 3 },
	{ 136, 7, 3 },
	{ 146, 14, 0 },
	{ 160, 15, 13 },
	{ 188, 15, 0 },
	{ 203, 13, 0 },
	{ 216, 6, 0 },
	{ 222, 27, 0 },
	{ 249, 3, 0 },
	{ 252, 5, 0 },
	{ 257, 13, 0 },
	{ 270, 13, 0 },
	{ 283, 19, 0 },
	{ 302, 16, 0 },
	{ 318, 16, 0 },
	{ 334, 14, 0 },
	{ 348, 16, 0 },
	{ 364, 13, 0 },
	{ 377, 12, 0 },
	{ 389, 6, 0 },
	{ 395, 4, 0 },
	{ 399, 4, 0 },
	{ 403, 6, 0 },
	{ 409, 7, 0 },
	{ 416, 4, 0 },
	{ 420, 4, 0 },
	{ 424, 8, 0 },
	{ 432, 17, 0 },
	{ 449, 13, 0 },
	{ 462, 8, 0 },
	{ 470, 19, 0 },
	{ 489, 13, 0 },
	{ 502, 4, 0 },
	{ 506, 8, 0 },
	{ 514, 12, 0 },
	{ 526, 18, 0 },
	{ 544, 19, 0 },
	{ 563, 5, 0 },
	{ 568, 7, 0 },
	{ 575, 7, 0 },
	{ 582, 11, 0 },
	{ 593, 6, 0 },
	{ 599, 10, 0 },
	{ 609, 25, 0 },
	{ 634, 17, 0 },
	{ 651, 10, 0 },
	{ 661, 4, 0 },
	{ 665, 3, 0 },
	{ 668, 16, 0 },
};

static const char static_text[] =
    ":authority"
    ":methodGET"
    ":methodPOST"
    ":path/"
    ":path/index.html"
    ":schemehttp"
    ":schemehttps"
    ":status200"
    ":status204"
    ":status206"
    ":status304"
    ":status400"
    ":status404"
    ":status500"
    "accept-charset"
    "accept-encodinggzip, deflate"
    "accept-language"
    "accept-ranges"
    "accept"
    "access-control-allow-origin"
    "age"
    "allow"
    "authorization"
    "cache-control"
    "content-disposition"
    "content-encoding"
    "content-language"
    "content-length"
    "content-location"
    "content-range"
    "content-type"
    "cookie"
    "date"
    "etag"
    "expect"
    "expires"
    "from"
    "host"
    "if-match"
    "if-modified-since"
    "if-none-match"
    "if-range"
    "if-unmodified-since"
    "last-modified"
    "link"
    "location"
    "max-forwards"
    "proxy-authenticate"
    "proxy-authorization"
    "range"
    "referer"
    "refresh"
    "retry-after"
    "server"
    "set-cookie"
    "strict-transport-security"
    "transfer-encoding"
    "user-agent"
    "vary"
    "via"
    "www-authenticate";

/* clang-format on */

#endif
