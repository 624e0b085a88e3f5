/* shared/value.c - a registration in the shared book: the line of the file, and at
 * its end when that was true (in milliseconds) and by which node it came:
 *   {"user":…,"account":…,"token":…,…,"time":1763769600,"t":1763769600123,
 *    "node":"mail1"}                       (one line)
 * One that was removed stays as {…,"gone":true,"t":…,"node":…}. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "buf.h"
#include "commit.h"
#include "conf.h"
#include "push.h"
#include "text.h"
#include "webpush.h"

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

bool value_book(const char *text, size_t len, char id_r[SHARED_ID_MAX])
{
	const size_t at = sizeof(BOOK_START) - 1, n = SHARED_ID_MAX - 1;

	if (value_time_ms(text, len) != 1 || !value_is(text, len, BOOK_START) ||
	    len <= at + n || text[at + n] != '"' ||
	    strspn(text + at, "0123456789abcdef") != n)
		return false;
	memcpy(id_r, text + at, n);
	id_r[n] = '\0';
	return true;
}

/* Two processes have different names, so that each hears the other: also on
 * machines of one name, such as containers.  Of 16 bits, one pair in 65,536 would
 * have had the same. */
void value_set_names(struct shared *s)
{
	char host[SHARED_NODE_MAX - 10] = "";
	uint32_t r = 0;
	size_t n;

	gethostname(host, sizeof(host) - 1);
	n = text_span(host, ".-_");
	host[n] = '\0';
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)getpid();
	snprintf(s->node, sizeof(s->node), "%s/%08x", host, (unsigned)r);
	/* Messages do not know databases. */
	n = (size_t)snprintf(
	    s->channel, sizeof(s->channel), "%sevents", s->conf->shared_prefix);
	if (s->addr.db != 0)
		snprintf(
		    s->channel + n, sizeof(s->channel) - n, ":%d", s->addr.db);
}

/* Each node makes a key of its own unless it has been given one. */
static void warn_of_key(struct shared *s, const struct reg *r)
{
	if (s->is_key_logged || reg_kind(r) != REG_WEBPUSH ||
	    webpush_state(push_webpush(s->queue), reg_to(r)) !=
		WEBPUSH_OTHER_KEY)
		return;
	s->is_key_logged = true;
	log_warn("shared: %s: subscribed to Web Push with another VAPID key "
		 "than this node's, which cannot push there: copy one node's "
		 "%s.vapid to all, and restart them",
	    reg_user(r), s->conf->database_file);
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
	warn_of_key(s, r);
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
	buf_add_fmt(b, ",\"t\":%lld,\"node\":\"%s\"}%c", (long long)t_ms,
	    s->node, '\0');
}

/* Names in either case are the same user. */
void value_key(
    const struct shared *s, const char *kind, const char *user, struct buf *b)
{
	buf_add_fmt(b, "%s%s{", s->conf->shared_prefix, kind);
	for (; *user != '\0'; user++)
		buf_add_byte(b, (unsigned char)text_lower(*user));
	buf_add_byte(b, '}');
}
