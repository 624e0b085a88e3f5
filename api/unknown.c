/* api/unknown.c - notifications and visits of users without a device, which doctor
 * asks for: they may have one under another name, because Dovecot calls them
 * otherwise at delivery than at log-in. */
#include "api/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

/* The names seen last, at a place by what is before the domain: 64 KiB at most,
 * however many names are sent to us. */
#define NAMES_MAX 256 /* a power of two */

struct api_unknown {
	char *name; /* owned; NULL: none yet */
	/* of the last notification and visit; 0: there was none */
	int64_t notified_ms, seen_ms;
};

/* The place of the users with that local part (FNV-1a). */
static struct api_unknown *place(struct api *a, const char *user)
{
	size_t len;
	const char *local = store_local_part(user, &len);
	uint32_t hash = 2166136261u;

	for (; len > 0; len--)
		hash = (hash ^ ((unsigned char)*local++ | 0x20)) * 16777619u;
	return &a->unknown[(hash ^ hash >> 16) & (NAMES_MAX - 1)];
}

void api_keep_unknown(struct api *a, const char *user, bool seen)
{
	static const char pseudo[] = "public:"; /* owner of a namespace */
	struct api_unknown *u;

	if (strncmp(user, pseudo, strlen(pseudo)) == 0)
		return;
	if (a->unknown == NULL)
		a->unknown = xcalloc(NAMES_MAX, sizeof(*u));
	u = place(a, user);
	if (u->name == NULL || strcasecmp(u->name, user) != 0) {
		free(u->name);
		*u = (struct api_unknown){ .name = xstrdup(user) };
	}
	*(seen ? &u->seen_ms : &u->notified_ms) = loop_now_ms(a->loop);
}

/* --- /admin/unknown: {"user":…} -> {"name":…,"notified":…,"seen":…,"last":…}: who
 * has no device and was notified last or seen, of those with that local part (how
 * many seconds ago), and of all --- */

static bool same_local_part(const char *a, const char *b)
{
	size_t a_len, b_len;

	a = store_local_part(a, &a_len);
	b = store_local_part(b, &b_len);
	return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

/* Somebody may have registered since. */
static bool is_unknown(struct api *a, const struct api_unknown *u)
{
	return u->name != NULL && store_first(a->store, u->name) == NULL;
}

static void add_age(struct api *a, struct buf *b, const char *key, int64_t ms)
{
	if (ms > 0)
		json_add_num(b, key, (loop_now_ms(a->loop) - ms) / 1000);
}

static void write_unknown(struct api *a, const char *user, struct buf *b)
{
	const struct api_unknown *u = place(a, user), *last = NULL;

	if (is_unknown(a, u) && same_local_part(u->name, user)) {
		json_add_str(b, "name", u->name);
		add_age(a, b, "notified", u->notified_ms);
		add_age(a, b, "seen", u->seen_ms);
	}
	for (u = a->unknown; u < a->unknown + NAMES_MAX; u++)
		if (is_unknown(a, u) && u->notified_ms > 0 &&
		    (last == NULL || u->notified_ms > last->notified_ms))
			last = u;
	json_add_str(b, "last", last != NULL ? last->name : "");
}

void api_handle_unknown(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1];
	struct buf *b = &rq->api->out;

	if (api_body_string(rq, "user", user, sizeof(user)) < 0) {
		rq->status = 400;
		return;
	}
	buf_reset(b);
	buf_add_byte(b, '{');
	if (rq->api->unknown != NULL)
		write_unknown(rq->api, user, b);
	buf_add_str(b, "}\n");
	http_reply(conn, 200, JSON, NULL, buf_head(b), b->len);
}

void api_unknown_free(struct api *a)
{
	size_t i;

	for (i = 0; a->unknown != NULL && i < NAMES_MAX; i++)
		free(a->unknown[i].name);
	free(a->unknown);
}
