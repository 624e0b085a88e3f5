/* apns_test.c - what a real server cannot do in a test's time: the end of a
 * connection's stream ids (RFC 9113 5.1.1). */
#include "unit.h"

#include <stdio.h>

#include <string.h>

#include "../../send/dial.c"
#include "../../apns.h"
#include "../../buf.h"
#include "../../conf.h"
#include "../../cred.h"
#include "../../tls.h"
#include "../../h2/int.h"
#include "own_clock.h"
#include "with_loop.h"

/* --- the stream and the credentials, as far as apns asks for them --- */

struct io {
	struct buf in, out;
	io_cb *cb;
	void *arg;
	bool finished, lost;
};

#define CONNS_MAX 8

static struct io conns[CONNS_MAX];
static size_t n_conns;

struct io *io_connect(struct loop *loop, const struct io_addr *addr,
    const struct io_target *to, struct tls_ctx *tls, io_cb *cb, void *arg)
{
	struct io *io = &conns[n_conns++];

	(void)loop;
	(void)addr;
	(void)to;
	(void)tls;
	assert_true(n_conns <= CONNS_MAX);
	*io = (struct io){ .cb = cb, .arg = arg };
	buf_init(&io->in, 1 << 16);
	buf_init(&io->out, 1 << 16);
	return io;
}

/* One address, at once. */
struct io_dialer {
	const struct io_dialer_ops *ops;
	void *arg;
	int succeeded, failed;
};

static struct io_dialer dialer;

struct io_dialer *io_dialer_new(
    struct loop *loop, const struct io_dialer_ops *dialer_ops_, void *arg)
{
	(void)loop;
	dialer = (struct io_dialer){ .ops = dialer_ops_, .arg = arg };
	return &dialer;
}

void io_dialer_start(
    struct io_dialer *d, const struct io_target *to, int64_t budget_ms)
{
	static const struct io_addr addr = { .sa.sa_family = AF_INET };

	(void)to;
	(void)budget_ms;
	d->ops->attempt(d->arg, &addr);
}

const char *io_dialer_tunnel_to(const struct io_dialer *d)
{
	(void)d;
	return NULL;
}

void io_dialer_free(struct io_dialer *d)
{
	(void)d;
}

void io_dialer_stop(struct io_dialer *d)
{
	(void)d;
}

bool io_dialer_is_running(const struct io_dialer *d)
{
	(void)d;
	return false;
}

bool io_dialer_has_more(const struct io_dialer *d)
{
	(void)d;
	return false;
}

void io_dialer_failed(struct io_dialer *d, const struct io_addr *addr)
{
	(void)addr;
	d->failed++;
}

void io_dialer_succeeded(struct io_dialer *d, const struct io_addr *addr)
{
	(void)addr;
	d->succeeded++;
}

enum io_stage io_stage(const struct io *io)
{
	(void)io;
	return IO_STAGE_TLS;
}

static void io_end(struct io *io)
{
	assert_false(io->finished);
	io->finished = true;
	buf_free(&io->in);
	buf_free(&io->out);
}

void io_finish(struct io *io)
{
	io_end(io);
}

void io_close(struct io *io)
{
	io_end(io);
}

void io_set_limits(struct io *io, size_t in_max, size_t out_max)
{
	(void)io;
	(void)in_max;
	(void)out_max;
}

void io_resume(struct io *io)
{
	(void)io;
}

void io_flush(struct io *io)
{
	(void)io;
}

struct buf *io_in(struct io *io)
{
	return &io->in;
}

struct buf *io_out(struct io *io)
{
	return &io->out;
}

const char *io_error(const struct io *io)
{
	(void)io;
	return "";
}

const char *io_peer(const struct io *io)
{
	(void)io;
	return "peer";
}

const struct tls *io_tls(const struct io *io)
{
	return io->lost ? NULL : (const void *)io;
}

const char *tls_alpn(const struct tls *t)
{
	(void)t;
	return "h2";
}

const char *tls_protocol(const struct tls *t)
{
	(void)t;
	return "TLSv1.3";
}

bool tls_resumed(const struct tls *t)
{
	(void)t;
	return false;
}

ssize_t getrandom(void *p, size_t n, unsigned flags)
{
	(void)flags;
	memset(p, 0, n);
	return (ssize_t)n;
}

enum cred_kind cred_kind(const struct cred *c)
{
	(void)c;
	return CRED_CERTIFICATE;
}

const char *cred_topic(const struct cred *c)
{
	(void)c;
	return "topic";
}

struct tls_ctx *cred_tls(const struct cred *c)
{
	static char any;

	(void)c;
	return (void *)&any;
}

const char *cred_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	(void)c;
	(void)now_s;
	(void)err;
	return NULL;
}

void cred_renew(struct cred *c)
{
	(void)c;
}

/* --- the owner --- */

static char owners[4];
static char answered[64]; /* "A200 " for each answer */
static unsigned capacities;

static void on_capacity(void *arg)
{
	(void)arg;
	capacities++;
}

static void on_answer(void *arg, void *owner, struct send_answer *an)
{
	size_t n = strlen(answered);

	(void)arg;
	assert_int_equal(an->outcome, SEND_ANSWERED);
	snprintf(answered + n, sizeof(answered) - n, "%c%d ",
	    'A' + (int)((char *)owner - owners), an->status);
}

static const struct send_ops ops = { .capacity = on_capacity,
	.answer = on_answer };

static struct apns *apple;
static struct sender *a;

static enum send_sent push(struct sender *to, char who)
{
	char err[ERR_MAX];

	assert_ptr_equal(to, apns_sender(apple));
	return apns_send(
	    apple, "0123456789abcdef", "{}", 2, owners + (who - 'A'), err);
}

/* --- the server --- */

static void send_frame(struct io *io, enum frame_type type, uint8_t flags,
    uint32_t id, const char *payload, size_t len)
{
	unsigned char head[FRAME_HEADER];

	set_frame_header(head, len, type, flags, id);
	buf_add(&io->in, head, sizeof(head));
	buf_add(&io->in, payload, len);
	io->cb(io, IO_DATA, io->arg);
	loop_once(l, 0);
}

static void come_up(struct io *io)
{
	io->cb(io, IO_OPEN, io->arg);
	send_frame(io, SETTINGS, 0, 0, NULL, 0);
}

/* 200 (RFC 7541 A: index 8) */
static void answer(struct io *io, uint32_t id)
{
	send_frame(io, HEADERS, F_END_STREAM | F_END_HEADERS, id, "\x88", 1);
}

/* The stream of the last request that went out. */
static uint32_t last_id(const struct io *io)
{
	const unsigned char *p = buf_head(&io->out) + 24; /* the preface */
	const unsigned char *end = buf_head(&io->out) + io->out.len;
	uint32_t id = 0;

	for (; p < end; p += FRAME_HEADER + (get_u32(p) >> 8))
		if (p[3] == HEADERS)
			id = get_u32(p + 5);
	return id;
}

/* --- tests --- */

static struct conf conf;

static int setup(void **state)
{
	loop_setup(state);
	conf_init(&conf);
	n_conns = 0;
	capacities = 0;
	answered[0] = '\0';
	log_set_level(LOG_L_FATAL);
	apple = apns_new(l, &conf, NULL, &ops, NULL, "", NULL);
	a = apns_sender(apple);
	come_up(&conns[0]);
	return 0;
}

static int teardown(void **state)
{
	apns_free(apple);
	conf_free(&conf);
	return loop_teardown(state);
}

static void test_last_id(void **state)
{
	(void)state;
	a->cur->h2->next_id = ID_MAX;
	assert_int_equal(sender_capacity(a), 1);
	assert_int_equal(push(a, 'A'), SEND_SENT);
	assert_int_equal(push(a, 'B'), SEND_FULL);
	loop_once(l, 0);
	assert_int_equal(last_id(&conns[0]), ID_MAX);
	answer(&conns[0], ID_MAX);
	assert_string_equal(answered, "A200 ");
	assert_true(conns[0].finished);
	/* without a pause, and the owner hears of it */
	loop_once(l, 0);
	assert_int_equal(n_conns, 2);
	capacities = 0;
	come_up(&conns[1]);
	assert_int_equal(capacities, 1);
	assert_int_equal(push(a, 'B'), SEND_SENT);
	loop_once(l, 0);
	assert_int_equal(last_id(&conns[1]), 1);
	answer(&conns[1], 1);
	assert_string_equal(answered, "A200 B200 ");
	assert_false(conns[1].finished);
}

/* What is under way on the old connection is answered there. */
static void test_drains(void **state)
{
	(void)state;
	a->cur->h2->next_id = ID_MAX - 4;
	assert_int_equal(sender_capacity(a), 3);
	assert_int_equal(push(a, 'A'), SEND_SENT);
	assert_int_equal(push(a, 'B'), SEND_SENT);
	assert_int_equal(push(a, 'C'), SEND_SENT);
	assert_int_equal(push(a, 'D'), SEND_FULL);
	loop_once(l, 0);
	answer(&conns[0], ID_MAX - 2);
	loop_once(l, 0);
	assert_int_equal(n_conns, 2);
	come_up(&conns[1]);
	assert_int_equal(push(a, 'D'), SEND_SENT);
	loop_once(l, 0);
	answer(&conns[1], 1);
	answer(&conns[0], ID_MAX);
	assert_false(conns[0].finished);
	answer(&conns[0], ID_MAX - 4);
	assert_true(conns[0].finished);
	assert_string_equal(answered, "B200 D200 C200 A200 ");
	assert_int_equal(n_conns, 2);
	assert_int_equal(a->failures, 0);
}

/* TCP and TLS are not enough (RFC 8305 knows no more): it works when the
 * server's SETTINGS are in; of several that open the first one wins. */
static void test_the_first_with_settings_wins(void **state)
{
	static const struct io_addr addr = { .sa.sa_family = AF_INET };

	(void)state;
	conns[0].cb(&conns[0], IO_EOF, conns[0].arg); /* lost: dials again */
	loop_once(l, 0);
	loop_once(l, 0);
	assert_int_equal(n_conns, 2);
	dialer.ops->attempt(dialer.arg, &addr);
	dialer.ops->attempt(dialer.arg, &addr);
	dialer.succeeded = 0;
	conns[1].cb(&conns[1], IO_OPEN, conns[1].arg);
	assert_int_equal(dialer.succeeded, 0);
	conns[2].cb(&conns[2], IO_FAILED, conns[2].arg);
	assert_int_equal(dialer.failed, 1);
	assert_true(conns[2].finished);
	come_up(&conns[3]);
	assert_int_equal(dialer.succeeded, 1);
	assert_int_equal(dialer.failed, 1);
	assert_true(conns[1].finished);
	assert_false(conns[3].finished);
	assert_int_equal(push(a, 'A'), SEND_SENT);
	loop_once(l, 0);
	answer(&conns[3], 1);
	assert_string_equal(answered, "A200 ");
}

/* A server that ends every connection after its SETTINGS is not the first one
 * for ever. */
static void test_no_use(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < USELESS_MAX; i++) {
		conns[i].cb(&conns[i], IO_EOF, conns[i].arg);
		assert_int_equal(dialer.failed, 0);
		loop_timer_clear(l, &a->redial);
		send_dial_start(a);
		come_up(&conns[i + 1]);
	}
	conns[i].cb(&conns[i], IO_EOF, conns[i].arg);
	assert_int_equal(dialer.failed, 1);
}

/* All of them have had their time. */
static void test_none_of_them_works(void **state)
{
	static const struct io_addr addr = { .sa.sa_family = AF_INET };
	struct send_status st;

	(void)state;
	conns[0].cb(&conns[0], IO_EOF, conns[0].arg);
	loop_once(l, 0);
	loop_once(l, 0);
	dialer.ops->attempt(dialer.arg, &addr);
	conns[1].cb(&conns[1], IO_OPEN, conns[1].arg);
	dialer.ops->exhausted(dialer.arg, NULL);
	assert_int_equal(dialer.failed, 2);
	assert_true(conns[1].finished && conns[2].finished);
	sender_get_status(a, &st);
	assert_int_equal(st.state, SEND_WAITING);
	assert_non_null(strstr(st.last_error, "no HTTP/2 SETTINGS"));
	/* not a second time for the same reason, and never none */
	dialer.ops->exhausted(dialer.arg, "no such name");
	sender_get_status(a, &st);
	assert_string_equal(st.last_error, "no such name");
}

/* Between the failure of a stream and its report anybody may ask. */
static void test_status_of_a_lost_stream(void **state)
{
	struct send_status st;

	(void)state;
	sender_get_status(a, &st);
	assert_int_equal(st.state, SEND_UP);
	assert_string_equal(st.protocol, "TLSv1.3");
	conns[0].lost = true;
	sender_get_status(a, &st);
	assert_int_not_equal(st.state, SEND_UP);
	assert_string_equal(st.protocol, "");
	assert_string_equal(st.peer, "");
}

static int64_t down_s(void)
{
	struct send_status st;

	sender_get_status(a, &st);
	return st.down_ms / 1000;
}

/* Connections that give only SETTINGS are as good as none. */
static void test_since_when_it_is_down(void **state)
{
	size_t i;

	(void)state;
	a->down_ms -= 400000; /* the start was 400 s ago */
	assert_int_equal(down_s(), 0);
	for (i = 0; i < 2; i++) {
		conns[i].cb(&conns[i], IO_EOF, conns[i].arg);
		assert_int_equal(down_s(), 400);
		loop_timer_clear(l, &a->redial);
		send_dial_start(a);
		come_up(&conns[i + 1]);
	}
	assert_int_equal(down_s(), 400);
	assert_int_equal(push(a, 'A'), SEND_SENT);
	answer(&conns[2], 1);
	assert_int_equal(down_s(), 0);
	/* now it was useful until its end */
	conns[2].cb(&conns[2], IO_EOF, conns[2].arg);
	assert_int_equal(down_s(), 0);
	a->down_ms -= 300000;
	assert_int_equal(down_s(), 300);
	apns_set_cred(apple, NULL); /* a reload does not start again */
	assert_int_equal(down_s(), 300);
}

static void test_latency(void **state)
{
	static const int64_t ms[] = { 0, 50, 51, 10000, 10001 };
	static const uint64_t want[SEND_N_LATENCIES] = { 2, 1, 0, 0, 0, 0, 0, 1,
		1 };
	struct send_status st;
	uint32_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(push(a, 'A'), SEND_SENT);
		a->cur->first->sent_ms = loop_now_ms(l) - ms[i];
		answer(&conns[0], 2 * i + 1);
	}
	sender_get_status(a, &st);
	assert_memory_equal(st.latency.n, want, sizeof(want));
	assert_int_equal(st.latency.sum_ms, 20102);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_last_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drains, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_the_first_with_settings_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_use, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_none_of_them_works, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_status_of_a_lost_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_since_when_it_is_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_latency, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
