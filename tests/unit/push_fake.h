/* push_fake.h - a scripted Apple, and the queue before it. */
#ifndef PUSH_FAKE_H
#define PUSH_FAKE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../apns.h"
#include "../../buf.h"
#include "../../clock.h"
#include "../../conf.h"
#include "../../cred.h"
#include "../../loop.h"
#include "../../push.h"
#include "../../store.h"
#include "../../tls.h"
#include "../../webpush.h"
#include "fake_loop.h"
#include "text.h"

/* --- Apple, scripted --- */

#define SENT_MAX 64

static struct {
	char token[REG_TOKEN_MAX + 1];
	char payload[4200];
	void *owner;
} sent[SENT_MAX];
static size_t n_sent;
static uint32_t capacity;
static const struct send_ops *ops;
static void *ops_arg;
static unsigned renewed;
static bool no_auth, dated;
static int64_t down_ms;

struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct send_ops *o, void *arg, const char *label,
    struct send_gate *gate)
{
	(void)l;
	(void)conf;
	(void)cred;
	(void)label;
	(void)gate;
	ops = o;
	ops_arg = arg;
	return NULL;
}

struct sender *apns_sender(const struct apns *a)
{
	(void)a;
	return NULL;
}

void apns_read_answer(struct send_answer *an)
{
	(void)an;
}

void apns_free(struct apns *a)
{
	(void)a;
}

bool sender_is_idle(const struct sender *a)
{
	(void)a;
	return false;
}

void apns_refresh(struct apns *a)
{
	(void)a;
}

void sender_need(struct sender *a)
{
	(void)a;
}

/* One that is not connected. */
static const struct sender *away;

uint32_t sender_capacity(const struct sender *a)
{
	return a != NULL && a == away ? 0 : capacity;
}

enum send_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX])
{
	(void)a;
	if (no_auth) {
		err_set(err, "no key today");
		return SEND_NO_AUTH;
	}
	if (capacity == 0)
		return SEND_FULL;
	capacity--;
	assert_true(n_sent < SENT_MAX);
	assert_true(len < sizeof(sent[0].payload));
	strcpy(sent[n_sent].token, token);
	memcpy(sent[n_sent].payload, payload, len);
	sent[n_sent].payload[len] = '\0';
	sent[n_sent++].owner = owner;
	return SEND_SENT;
}

void sender_free(struct sender *s)
{
	(void)s;
}

/* What only other ways call, which no test here uses. */
struct sender *sender_new(struct loop *l, const struct send_target *to,
    const struct send_ops *o, void *arg, const char *label,
    struct send_gate *gate)
{
	(void)l;
	(void)to;
	(void)o;
	(void)arg;
	(void)label;
	(void)gate;
	return NULL;
}

void sender_set_target(struct sender *s, const struct send_target *to)
{
	(void)s;
	(void)to;
}

enum send_sent send_request(struct sender *s, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner)
{
	(void)s;
	(void)list;
	(void)n;
	(void)body;
	(void)len;
	(void)owner;
	return SEND_FULL;
}

void sender_refresh(struct sender *s, const struct send_target *to)
{
	(void)s;
	(void)to;
}

void sender_set_tls(struct sender *s, struct tls_ctx *tls)
{
	(void)s;
	(void)tls;
}

struct send_gate *send_gate_new(bool brief)
{
	(void)brief;
	return NULL;
}

struct tls_ctx *cred_load_web_trust(const struct conf *conf, char err[ERR_MAX])
{
	(void)conf;
	(void)err;
	return NULL;
}

struct tls_ctx *cred_load_trust(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX])
{
	(void)conf;
	(void)key;
	(void)name;
	(void)err;
	return NULL;
}

char *cred_read_password(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX])
{
	(void)conf;
	(void)key;
	(void)name;
	(void)err;
	return NULL;
}

void sender_stop(struct sender *s)
{
	(void)s;
}

const struct cred_service *cred_fcm(const struct cred *c)
{
	(void)c;
	return NULL;
}

int cred_fcm_jwt(const struct cred_service *f, int64_t now_s, struct buf *b,
    char err[ERR_MAX])
{
	(void)f;
	(void)now_s;
	(void)b;
	(void)err;
	return -1;
}

const char *cred_clock_warning(int64_t now_s, char err[ERR_MAX])
{
	(void)now_s;
	(void)err;
	return NULL;
}

void sender_flush(struct sender *a)
{
	(void)a;
}

void apns_renew_auth(struct apns *a)
{
	(void)a;
	renewed++;
}

void sender_get_status(const struct sender *a, struct send_status *status_r)
{
	(void)a;
	*status_r = (struct send_status){
		.host = "push.example",
		.port = 443,
		.down_ms = down_ms,
		.last_error = "refused",
	};
}

enum cred_kind cred_kind(const struct cred *c)
{
	(void)c;
	return CRED_TOKEN_KEY;
}

struct webpush *webpush_new(const struct conf *conf_)
{
	(void)conf_;
	return NULL;
}

void webpush_free(struct webpush *w)
{
	(void)w;
}

int cred_check_time(const struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	(void)c;
	(void)now_s;
	(void)err;
	return 0;
}

static unsigned jwts;

unsigned cred_jwt_count(const struct cred *c)
{
	(void)c;
	return jwts;
}

void apns_set_cred(struct apns *a, struct cred *cred)
{
	(void)a;
	(void)cred;
}

void apns_set_expiration(struct apns *a, bool is_dated)
{
	(void)a;
	dated = is_dated;
}

const char *apns_reason_words(const char *reason)
{
	(void)reason;
	return "";
}

/* --- fixture --- */

static struct conf conf;
static struct store *store;
static struct push_queue *queue;
static char dir[] = "/tmp/xapsd-push-XXXXXX", path[64];

#define TOK_A "aaaaaaaaaaaaaaaaaaaaaaaa"
#define TOK_B "bbbbbbbbbbbbbbbbbbbbbbbb"

/* MD5 of the names, by md5sum(1). */
#define MD5_INBOX "7e33429f656f1e6e9d79b29c3f82c57e"
#define MD5_NOTES "f4c6f851b00d5518bf888815de279aba"

static struct reg *add_reg(
    const char *user, const char *token, bool acked, int64_t time_s)
{
	static const char *const boxes[] = { "INBOX", "Notes" };
	const struct reg_spec spec = {
		.user = user,
		.account = "acc\"1",
		.token = token,
		.mailboxes = boxes,
		.n_mailboxes = 2,
		.acked = acked,
		.time_s = time_s,
	};

	assert_null(reg_spec_check(&spec));
	return store_put(store, &spec);
}

static int setup(void **state)
{
	char err[ERR_MAX];

	(void)state;
	strcpy(strrchr(dir, '-'), "-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/db", dir);
	conf_init(&conf);
	log_set_level(LOG_L_FATAL);
	store = store_open(path, err);
	assert_non_null(store);
	now_ms = 1000000;
	wall_s = CLOCK_MIN_S;
	n_sent = 0;
	capacity = 100;
	renewed = 0;
	no_auth = false;
	dated = true;
	away = NULL;
	queue = push_new(NULL, &conf, store, NULL);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	push_free(queue);
	store_close(store);
	conf_free(&conf);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void answer(size_t i, int status, const char *reason)
{
	struct send_answer an = {
		.outcome = SEND_ANSWERED,
		.status = status,
		.retry_after_s = -1,
	};

	strcpy(an.reason, reason);
	capacity++;
	ops->answer(ops_arg, sent[i].owner, &an);
	run_tasks();
}

#endif
