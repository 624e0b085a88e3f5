/* shared/value.c - a registration in the shared book: the line of the file, and at
 * its end when that was true (in milliseconds) and by which node it came:
 *   {"user":…,"account":…,"token":…,…,"time":1763769600,"t":1763769600123,
 *    "node":"mail1"}                       (one line)
 * One that was removed stays as {…,"gone":true,"t":…,"node":…}. */
#include "shared/int.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "commit.h"
#include "conf.h"
#include "push.h"

/* The longest end of a value. */
#define END_MAX                                                                \
	(sizeof(",\"t\":9223372036854775807,\"node\":\"\"}") + SHARED_NODE_MAX)

int64_t value_time_ms(const char *text, size_t len)
{
	static const char mark[] = ",\"t\":";
	size_t tail = len < END_MAX ? len : END_MAX;
	const char *end = text + len, *p;
	int64_t t = 0;

	/* No string contains it: its quotes would be escaped. */
	p = memmem(end - tail, tail, mark, sizeof(mark) - 1);
	if (p == NULL)
		return -1;
	for (p += sizeof(mark) - 1; p < end && *p >= '0' && *p <= '9'; p++) {
		if (t > INT64_MAX / 10 - 9)
			return -1;
		t = t * 10 + (*p - '0');
	}
	return p < end && *p == ',' ? t : -1;
}

bool value_is(const char *text, size_t len, const char *start)
{
	size_t n = strlen(start);

	return len >= n && memcmp(text, start, n) == 0;
}

void value_merge(struct shared *s, const char *text, size_t len)
{
	int64_t t = value_time_ms(text, len);
	const char *wrong = "it has no time";
	struct reg *r = NULL;

	if (t >= 0)
		wrong = store_merge(s->store, text, len, t, &r);
	if (wrong != NULL && !s->is_bad_logged) {
		s->is_bad_logged = true;
		log_warn("shared: a value in the shared book is not taken: %s",
		    wrong);
	}
	if (r == NULL)
		return;
	s->taken++;
	if (!reg_suspended(r))
		push_renewed(r);
	commit_after_put(s->commit);
}

void value_begin(const struct shared *s, const struct reg *r,
    enum value_kind kind, struct buf *b)
{
	if (kind == VALUE_GONE)
		reg_write_gone(r, 0, b);
	else
		reg_write(r, store_topic(s->store, r), b);
	b->len -= 2; /* "}\n" */
	if (kind == VALUE_SUSPENDED)
		buf_add_str(b, ",\"suspended\":true");
}

void value_end(const struct shared *s, int64_t t_ms, struct buf *b)
{
	buf_add_fmt(
	    b, ",\"t\":%lld,\"node\":\"%s\"}", (long long)t_ms, s->node);
}

/* Names in either case are the same user. */
void value_key(
    const struct shared *s, const char *kind, const char *user, struct buf *b)
{
	buf_add_fmt(b, "%s%s{", s->conf->shared_prefix, kind);
	for (; *user != '\0'; user++)
		buf_add_byte(b, *user >= 'A' && *user <= 'Z'
				    ? (unsigned char)(*user | 0x20)
				    : (unsigned char)*user);
	buf_add_byte(b, '}');
}
