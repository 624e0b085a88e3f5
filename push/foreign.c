/* push/foreign.c - what protects others from our users: where pushes to addresses
 * that users gave may go, and how many. */
#include "push/int.h"

#include <assert.h>
#include <stdlib.h>

#include "conf.h"
#include "io.h"
#include "mem.h"
#include "text.h"
#include "url.h"

/* Requests for one user: 60 at once, then one a second, so that 20 devices get
 * three at once, and no mail loop of a user's becomes a flood.  What has to wait
 * is merged meanwhile. */
#define USER_MS 1000
#define USER_BURST 60
/* Requests to one server that users named: as any web server bears.  Large push
 * services are to be listed in pushAllow by those who have that many users. */
#define ORIGIN_MS 10
#define ORIGIN_BURST 100

/* Users who were sent to in the last second, or too much before. */
#define N_USERS 512
#define PROBES 8

struct rate {
	uint64_t user; /* its hash */
	int64_t paid_ms;
};

struct push_foreign {
	struct io_guard *guard;
	struct rate users[N_USERS];
};

int push_check_text(const struct conf *conf, char err[ERR_MAX])
{
	char why[ERR_MAX] = "";
	const struct {
		const char *key, *url;
		bool is_secret; /* what is sent there */
	} urls[] = {
		{ "fcmUrl", conf->fcm_url, true },
		{ "deltachatUrl", conf->deltachat_url, false },
	};
	struct url u;
	size_t i;
	struct io_guard *g = io_guard_new(conf->push_allow, why);

	if (g == NULL)
		conf_blame(conf, "pushAllow", err, "%s", why);
	io_guard_free(g);
	if (g == NULL)
		return -1;
	for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		if (urls[i].url != NULL &&
		    (url_parse(urls[i].url, &u, why) < 0 ||
			(urls[i].is_secret && !u.tls))) {
			conf_blame(conf, urls[i].key, err, "%s",
			    *why != '\0' ? why : "has to begin with https://");
			return -1;
		}
	return 0;
}

static struct push_foreign *get(struct push_queue *q)
{
	char err[ERR_MAX];

	if (q->foreign == NULL) {
		q->foreign = xcalloc(1, sizeof(*q->foreign));
		q->foreign->guard = io_guard_new(q->conf->push_allow, err);
		assert(q->foreign->guard != NULL); /* push_check_text() */
	}
	return q->foreign;
}

const struct io_guard *push_guard(struct push_queue *q)
{
	return get(q)->guard;
}

void push_refresh_guard(struct push_queue *q)
{
	char err[ERR_MAX];

	if (q->foreign != NULL)
		io_guard_set(q->foreign->guard, q->conf->push_allow, err);
}

void push_foreign_free(struct push_queue *q)
{
	if (q->foreign != NULL)
		io_guard_free(q->foreign->guard);
	free(q->foreign);
}

/* FNV-1a of the name in lower case. */
static uint64_t hash_user(const char *name)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)text_lower(*name)) * 0x100000001b3;
	return h;
}

/* When the user's next request would be paid for.  One who is not here, or whose
 * time is over, has the whole burst; too many at once share. */
static int64_t *find_user(struct push_foreign *f, const char *name, int64_t now)
{
	uint64_t h = hash_user(name);
	struct rate *best = NULL, *r;
	unsigned i;

	for (i = 0; i < PROBES; i++) {
		r = &f->users[(h + i) % N_USERS];
		if (r->user == h)
			return &r->paid_ms;
		if (best == NULL || r->paid_ms < best->paid_ms)
			best = r;
	}
	if (best->paid_ms <= now)
		best->user = h;
	return &best->paid_ms;
}

/* Pays for one request; returns how long it has to wait. */
static int64_t pay(int64_t *paid_ms, int64_t now, int64_t each_ms, int burst)
{
	int64_t wait_ms;

	if (*paid_ms < now)
		*paid_ms = now;
	*paid_ms += each_ms;
	wait_ms = *paid_ms - now - each_ms * burst;
	return wait_ms > 0 ? wait_ms : 0;
}

int64_t push_foreign_wait(struct push *p)
{
	struct push_lane *l = p->lane;
	struct push_foreign *f = get(l->q);
	int64_t now = loop_now_ms(l->q->loop), user_ms, origin_ms;
	struct send_status to;

	if (p->paid)
		return 0;
	p->paid = true;
	if (l->way->kind == REG_HOOK || l->sender == NULL)
		return 0;
	sender_get_status(l->sender, &to);
	if (io_guard_lists(f->guard, to.host, to.port))
		return 0;
	user_ms =
	    pay(find_user(f, reg_user(p->reg), now), now, USER_MS, USER_BURST);
	if (l->way->kind != REG_WEBPUSH)
		return user_ms;
	origin_ms = pay(&l->paid_ms, now, ORIGIN_MS, ORIGIN_BURST);
	return user_ms > origin_ms ? user_ms : origin_ms;
}
