/* h2_fuzz.c - a server's bytes, where they are split, the clock and what the
 * owner does, all from the input: a byte says what comes next.
 *	0x00-0x7f	that many bytes of the server's
 *	0x80-0xbf	a frame: type, flags, stream and payload follow
 *	0xc0-		the owner: request, cancel, ping, read output, time */
#include "h2.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define BODY_MAX 1024

static struct h2 *h2;
static char owners[512]; /* 1: an answer is due */
static unsigned opened;

static void request(size_t body_len)
{
	static char body[70000];
	const struct hpack_header h[] = {
		{ ":method", "POST", 7, 4, HPACK_INDEX },
		{ ":path", "/3/device/00", 5, 12, HPACK_TRY_INDEX },
		{ "apns-topic", "x", 10, 1, HPACK_INDEX },
	};

	if (opened < sizeof(owners) && h2_capacity(h2) > 0) {
		if (h2_request(h2, h, 3, body, body_len, &owners[opened]) != 0)
			owners[opened] = 1;
		opened++;
	}
}

static void on_ready(void *arg)
{
	(void)arg;
	request(2);
}

static void on_response(void *arg, void *owner, const struct h2_response *r)
{
	(void)arg;
	if (*(char *)owner != 1 ||
	    (r->outcome == H2_DONE) != (r->status >= 200))
		abort(); /* answered twice, or no answer */
	*(char *)owner = 0;
	if (r->body_len > BODY_MAX || (r->body_len && r->body[0] == '!'))
		request(1);
}

static void on_header(void *arg, void *owner, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	(void)arg;
	if (*(char *)owner != 1 || name_len == 0 || name[0] == ':' ||
	    (value_len > 0 && value[value_len - 1] == ' '))
		abort();
}

static void on_goaway(
    void *arg, uint32_t error, const unsigned char *debug, size_t n)
{
	(void)arg;
	if (h2_capacity(h2) != 0 || (n > 0 && debug[n - 1] == 0 && error == 77))
		h2_ping(h2);
}

/* What we send has to be whole frames of a legal size. */
static void check_output(void)
{
	struct buf *out = h2_out(h2);
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	const unsigned char *p;
	size_t n;

	while (out->len > 0) {
		p = buf_head(out);
		if (out->len >= 24 && memcmp(p, preface, 24) == 0) {
			buf_consume(out, 24);
			continue;
		}
		n = 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
		if (out->len < 9 || out->len < n || n > 9 + 16384 || p[3] > 9)
			abort();
		buf_consume(out, n);
		h2_out(h2);
	}
}

/* Returns how much of the input it used. */
static size_t frame(
    const uint8_t *p, size_t size, unsigned char *out, size_t *n_r)
{
	const size_t len = size > 3 && p[3] < size - 4 ? p[3] : 0;

	if (size < 4)
		return *n_r = 0, size;
	memset(out, 0, 9);
	out[2] = (unsigned char)len;
	out[3] = p[0] % 11;
	out[4] = p[1];
	out[8] = p[2];
	memcpy(out + 9, p + 4, len);
	*n_r = 9 + len;
	return 4 + len;
}

static void owner_step(unsigned what, int64_t *now_ms)
{
	if (what < 0xd0)
		request((what & 15) * 4400);
	else if (what < 0xe0)
		h2_cancel(h2, 2 * (what & 15) + 1), owners[what & 15] = 0;
	else if (what < 0xe8)
		h2_ping(h2);
	else if (what < 0xf8)
		*now_ms += (what & 15) * 100;
	else if (what < 0xfe)
		check_output();
	else
		h2_send_goaway(h2);
}

static void steps(const uint8_t *data, size_t size)
{
	unsigned char bytes[9 + 255];
	int64_t now_ms = 0;
	size_t n, used;

	while (size > 0) {
		const unsigned what = *data++;

		size--;
		if (what >= 0xc0) {
			owner_step(what, &now_ms);
			continue;
		}
		if (what < 0x80) {
			used = n = what < size ? what : size;
			memcpy(bytes, data, n);
		} else {
			used = frame(data, size, bytes, &n);
		}
		if (h2_recv(h2, bytes, n, now_ms) < 0)
			break;
		data += used;
		size -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_ops ops = { on_ready, on_header, on_response,
		on_goaway };
	size_t i;

	memset(owners, 0, sizeof(owners));
	opened = 0;
	h2 = h2_new(&ops, NULL, 20, BODY_MAX);
	steps(data, size);
	check_output();
	if (h2_recv(h2, (const unsigned char *)"", 0, 0) < 0 &&
	    *h2_error(h2) == '\0')
		abort();
	h2_close(h2);
	for (i = 0; i < sizeof(owners); i++)
		if (owners[i])
			abort(); /* never answered */
	h2_free(h2);
	return 0;
}
