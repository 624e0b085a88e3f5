/* client_fuzz.c - any bytes, cut anywhere, from a client's socket through http
 * and api into a real store: what is stored is within the limits, and nothing
 * of another client's is sent or stored.
 *
 * The first byte chooses TCP or the Unix socket, the next two where the bytes
 * are cut.  0xff repeats the four bytes before it, 100 times what follows: so
 * small inputs go beyond large limits. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api.h"
#include "send.h"
#include "commit.h"
#include "conf.h"
#include "cred.h"
#include "io.h"
#include "loop.h"
#include "push.h"
#include "push/visits.h"
#include "shared.h"
#include "store.h"
#include "webpush.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "s3cret folder"
#define BYTES_MAX 200000
#define GROUP 4 /* bytes: "a", */

static struct loop *loop;
static struct store *store;
static struct visits visits;
static struct http_server *server;
static char path[2][80], file[64];
static struct webpush *webpush;
static struct io_guard *guard;
static int alice = -1; /* the user who registers before each input */

/* --- no credentials, no Apple: all that api calls of push and cred --- */

const unsigned short push_wakeup_limits_s[PUSH_N_WAKEUPS - 1] = { 1 };

enum cred_kind cred_kind(const struct cred *c)
{
	(void)c;
	return CRED_TOKEN_KEY;
}

const char *cred_topic(const struct cred *c)
{
	(void)c;
	return "com.apple.mobilemail.push.fuzz";
}

int64_t cred_expires_s(const struct cred *c)
{
	(void)c;
	return 0;
}

const char *cred_warning(const struct cred *c, size_t i)
{
	(void)c;
	return i == 0 ? "expires \"soon\"" : NULL;
}

const struct cred_service *cred_fcm(const struct cred *c)
{
	static const char account;

	(void)c;
	return (const void *)&account; /* never looked into */
}

struct push_lane *push_lane_at(struct push_queue *q, size_t brand)
{
	(void)q;
	(void)brand;
	return NULL;
}

size_t push_n_lanes(const struct push_queue *q)
{
	(void)q;
	return 1;
}

struct push_lane *push_user_lane(struct push_queue *q, const char *user)
{
	(void)q;
	(void)user;
	return NULL;
}

const struct cred *push_cred(const struct push_lane *l)
{
	(void)l;
	return NULL;
}

bool push_has_cred(struct push_queue *q)
{
	(void)q;
	return true;
}

bool push_is_unset(const struct push_lane *l)
{
	(void)l;
	return false;
}

const char *push_trouble(struct push_lane *l)
{
	(void)l;
	return NULL;
}

bool push_next_trouble(struct push_queue *q, size_t *at, char line[ERR_MAX])
{
	(void)q;
	err_set(line, "hook x: \"no\"");
	return (*at)++ == 0;
}

const char *push_health(struct push_lane *l)
{
	(void)l;
	return "not connected to Apple for 5 min: \"no\"";
}

const char *push_verdict(struct push_queue *q, bool cred)
{
	(void)q;
	return cred ? NULL : push_health(NULL);
}

size_t push_count(const struct push_queue *q)
{
	(void)q;
	return 0;
}

void push_get_figures(const struct push_lane *l, struct push_figures *f_r)
{
	(void)l;
	*f_r = (struct push_figures){ .name = "", .delivered_s = 1 };
	f_r->send.host = f_r->send.proxy = f_r->send.last_error = "";
}

enum push_result push_notify(struct push_queue *q, const char *user,
    const char *mailbox, const struct push_event *ev)
{
	struct reg *r = store_first(store, user);

	(void)q;
	assert(ev->name != NULL && ev->unseen >= -1);
	if (r == NULL)
		return PUSH_NO_USER;
	return reg_match(r, mailbox) >= 0 ? PUSH_QUEUED : PUSH_NO_MAILBOX;
}

void push_renewed(struct reg *r)
{
	(void)r;
}

bool push_seen(struct push_queue *q, const char *user, const char *client)
{
	bool is = visits_seen(&visits, user, client, loop_now_ms(loop));

	(void)q;
	assert(is == (store_first(store, user) != NULL));
	assert(strlen(client) <= 64);
	return is;
}

const struct push_visits *push_get_visits(struct push_queue *q)
{
	(void)q;
	visits_judge(&visits, loop_now_ms(loop));
	return &visits.n;
}

void push_write_day(struct push_queue *q, struct buf *b)
{
	(void)q;
	visits_write_day(&visits, loop_now_ms(loop), b);
}

void push_write_past(struct push_queue *q, struct reg *r, struct buf *b)
{
	(void)q;
	visits_write(&visits, r, loop_now_ms(loop), b);
}

bool push_get_kind_figures(
    struct push_queue *q, enum reg_kind kind, struct push_figures *f_r)
{
	(void)q;
	push_get_figures(NULL, f_r);
	return kind == REG_WEBPUSH;
}

const char *cred_kind_name(const struct cred *c)
{
	(void)c;
	return "token key";
}

const char *cred_clock_warning(int64_t now_s, char out[ERR_MAX])
{
	(void)now_s;
	(void)out;
	return NULL;
}

void shared_write_status(const struct shared *s, struct buf *b)
{
	(void)b;
	assert(s == NULL);
}

void shared_write_metrics(const struct shared *s, struct buf *b)
{
	(void)b;
	assert(s == NULL);
}

struct webpush *push_webpush(struct push_queue *q)
{
	(void)q;
	return webpush;
}

const struct io_guard *push_guard(struct push_queue *q)
{
	(void)q;
	return guard;
}

void push_confirm(struct push_queue *q, struct reg *r)
{
	(void)q;
	assert(*webpush_code(reg_to(r)) != '\0');
}

/* Names are not looked up: their first letter says where they lead. */
static struct lookup {
	io_guard_cb *cb;
	void *arg;
	char first;
} lookups[64];
static size_t n_lookups;

struct io_guard_lookup *io_guard_lookup(struct loop *l,
    const struct io_guard *g, const char *host, int port, io_guard_cb *cb,
    void *arg)
{
	assert(l == loop && g == guard && port > 0 && n_lookups < 64);
	lookups[n_lookups++] = (struct lookup){ cb, arg, *host };
	return NULL;
}

void io_guard_cancel(struct io_guard_lookup *lo)
{
	assert(lo == NULL);
}

static void end_lookups(void)
{
	struct lookup *lo;

	while (n_lookups > 0) {
		lo = &lookups[--n_lookups];
		lo->cb(lo->arg,
		    lo->first == 'i'   ? IO_GUARD_INSIDE
		    : lo->first == 'u' ? IO_GUARD_UNKNOWN
				       : IO_GUARD_OUTSIDE,
		    "why");
	}
}

static void on_drop(void *arg, struct reg *r)
{
	(void)arg;
	visits_drop(&visits, r, loop_now_ms(loop));
}

void push_trial_start(struct push_queue *q, const char *user,
    const char *mailbox, push_trial_cb *told, void *arg)
{
	(void)q;
	(void)mailbox;
	if (store_first(store, user) != NULL)
		told(arg, "account", "token", true, "taken");
	told(arg, NULL, NULL, false, NULL);
}

/* --- clients --- */

static void rounds(int n)
{
	while (n-- > 0) {
		loop_once(loop, 0);
		end_lookups();
	}
}

static int dial(const char *where)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(sun.sun_path, where);
	assert(connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0);
	rounds(2);
	return fd;
}

/* Appends what can be read; false at the end. */
static bool hear(int fd, char *said, size_t *len)
{
	ssize_t n;

	while ((n = recv(fd, said + *len, BYTES_MAX - *len, 0)) > 0) {
		*len += (size_t)n;
		if (*len == BYTES_MAX)
			*len = BYTES_MAX / 2; /* enough to look at */
	}
	return n < 0 && errno == EAGAIN;
}

static void clean_up(void)
{
	char beside[sizeof(file) + sizeof(".vapid")];

	snprintf(beside, sizeof(beside), "%s.topic", file);
	unlink(beside);
	snprintf(beside, sizeof(beside), "%s.vapid", file);
	unlink(beside);
	unlink(path[0]);
	unlink(path[1]);
	unlink(file);
}

static void start(void)
{
	static struct conf conf;
	struct api *api;
	char err[ERR_MAX];
	int i, fd;

	atexit(clean_up);
	log_set_level(LOG_L_FATAL);
	conf_init(&conf);
	loop = loop_new(err);
	snprintf(file, sizeof(file), "/dev/shm/xapsd-client-%d", (int)getpid());
	store = store_open(file, err);
	free(conf.database_file);
	conf.database_file = strdup(file);
	conf.deltachat_url = strdup("https://chat.test/notify");
	webpush = webpush_new(&conf);
	guard = io_guard_new("192.0.2.0/24", err);
	assert(guard != NULL);
	visits_init(&visits, store, loop_now_ms(loop));
	store_on_drop(store, on_drop, NULL);
	assert(loop != NULL && store != NULL);
	api = api_new(loop, &conf, store, commit_new(loop, store), NULL, NULL);
	server = http_server_new(loop, 8, api_handle, api);
	http_server_set_lines(server, api_handle_line, api);
	api_set_server(api, server);
	for (i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]),
		    "/dev/shm/xapsd-client-%d.%d", (int)getpid(), i);
		fd = io_listen_unix(path[i], 0600, err);
		assert(fd >= 0);
		http_server_listen(server, fd, i == 1, NULL);
	}
}

/* By JSON and by line: nothing that is left of both may be found. */
static void register_alice(void)
{
	static const char json[] =
	    "{\"ApsAccountId\":\"A\",\"ApsDeviceToken\":\"0123456789abcdef\","
	    "\"ApsSubtopic\":\"com.apple.mobilemail\",\"Username\":\"alice\","
	    "\"Mailboxes\":[\"" SECRET "\",\"" SECRET "\"]}";
	static const char line[] =
	    "REGISTER aps-account-id=\"A\"\taps-device-token=\"0123456789abcdef"
	    "\"\taps-subtopic=\"com.apple.mobilemail\"\t"
	    "dovecot-username=\"alice\"\tdovecot-mailboxes=(\"" SECRET
	    "\",\"" SECRET "\")\n";
	static char answers[BYTES_MAX];
	char said[2048];
	size_t len = 0;

	snprintf(said, sizeof(said),
	    "POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n"
	    "%s%s",
	    strlen(json), json, line);
	if (alice < 0 || !hear(alice, answers, &len)) {
		close(alice);
		alice = dial(path[1]);
	}
	assert(send(alice, said, strlen(said), MSG_NOSIGNAL) > 0);
	rounds(3);
	hear(alice, answers, &len);
}

/* --- one input --- */

static size_t expand(const uint8_t *data, size_t size, char *out)
{
	size_t i, n, len = 0;

	for (i = 0; i < size && len + GROUP <= BYTES_MAX; i++) {
		if (data[i] != 0xff || len < GROUP || i + 1 == size) {
			out[len++] = (char)data[i];
			continue;
		}
		for (n = 100u * data[++i]; n > 0 && len + GROUP <= BYTES_MAX;
		     n--, len += GROUP)
			memcpy(out + len, out + len - GROUP, GROUP);
	}
	return len;
}

static void talk(int fd, const char *in, size_t len, unsigned cuts, char *said,
    size_t *said_len)
{
	size_t at = 0, n;
	ssize_t sent;
	int i;

	while (at < len) {
		/* whole, in large pieces or in small ones */
		n = cuts % 4 == 0   ? len
		    : cuts % 4 == 1 ? 1 + cuts % 9
				    : 1 + cuts * 7919u % 30011u;
		cuts = cuts * 1103515245u + 12345u;
		sent = send(
		    fd, in + at, n < len - at ? n : len - at, MSG_NOSIGNAL);
		if (sent > 0)
			at += (size_t)sent;
		else if (errno != EAGAIN)
			break;
		rounds(1);
		if (!hear(fd, said, said_len))
			return;
	}
	shutdown(fd, SHUT_WR);
	for (i = 0; i < 100 && hear(fd, said, said_len); i++)
		rounds(1);
}

static bool names_in(const char *word, const char *text, size_t len)
{
	return memmem(text, len, word, strlen(word)) != NULL;
}

struct found {
	struct reg *list[4096];
	size_t n;
	bool may_know; /* the input itself has the secret */
	bool may_import;
};

static int look(void *arg, struct reg *r)
{
	struct found *f = arg;
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	size_t i;

	if (f->n == sizeof(f->list) / sizeof(f->list[0]))
		return 1;
	f->list[f->n++] = r;
	if (strcasecmp(reg_user(r), "alice") == 0)
		return 0;
	assert(reg_text_ok(reg_user(r), REG_USER_MAX));
	assert(strlen(reg_account(r, account)) - 1 < REG_ACCOUNT_MAX);
	assert(reg_has_account(r, account));
	assert(strlen(reg_token(r, token)) >= REG_TOKEN_MIN);
	assert(reg_n_mailboxes(r) <= REG_MAILBOXES_MAX);
	if (reg_kind(r) != REG_APPLE) {
		assert(reg_n_mailboxes(r) > 0 && reg_kind(r) != REG_HOOK);
		assert(strlen(reg_to(r)) - 1 < REG_TO_MAX);
	}
	if (reg_kind(r) == REG_WEBPUSH && !f->may_import)
		assert(
		    webpush_state(webpush, reg_to(r)) <= WEBPUSH_UNCONFIRMED);
	for (i = 0; i < reg_n_mailboxes(r); i++) {
		assert(reg_text_ok(reg_mailbox(r, i), REG_MAILBOX_MAX));
		assert(f->may_know || strcmp(reg_mailbox(r, i), SECRET) != 0);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char in[BYTES_MAX + 1], said[BYTES_MAX];
	static struct found found;
	size_t len, said_len = 0, i;
	int fd;

	if (size < 3)
		return 0;
	if (loop == NULL)
		start();
	register_alice();
	len = expand(data + 3, size - 3, in);
	fd = dial(path[data[0] & 1]);
	talk(fd, in, len, data[1] | (unsigned)data[2] << 8, said, &said_len);
	close(fd);
	rounds(2);
	found.n = 0;
	/* The fuzzer sees what its input is compared with, and escapes hide it. */
	found.may_know = names_in("s3c", in, len) ||
			 names_in("folder", in, len) || names_in("\\", in, len);
	found.may_import = names_in("/admin/", in, len);
	if (!found.may_know && !names_in("/admin/", in, len))
		assert(!names_in("s3cret", said, said_len));
	while (store_each(store, look, &found) != 0 || found.n > 0) {
		for (i = 0; i < found.n; i++)
			store_drop(store, found.list[i]);
		found.n = 0;
	}
	for (i = 0; i < 100 && http_server_connections(server) > 1; i++)
		rounds(1);
	assert(http_server_connections(server) == 1); /* hers */
	return 0;
}
