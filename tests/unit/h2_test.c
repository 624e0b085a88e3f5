/* h2_test.c - the engine against a scripted server.
 *
 * A script is a list of steps, separated by ';'.  A step is a frame of the server,
 *	[COUNTx] TYPE FLAGS STREAM [PAYLOAD ...]
 * with TYPE a letter (below), FLAGS hex, and PAYLOAD pieces hex bytes, 'text',
 * *N (N zero bytes), ~N (N times x), =N (N as 4 bytes), [name: value] (an HPACK
 * literal); or RAW and pieces, bytes without a frame header; or something that
 * the owner does:
 *	!req N		a request with a body of N bytes; !reqs COUNT, many
 *	!big		one with too large headers
 *	!again		from now on each answer opens another request
 *	!cancels COUNT	cancels that many streams, from 7 on
 *	!cancel ID, !ping, !bye, !close, !wait MS
 *	!capacity		logs how many requests may be opened
 *	!last		makes the next stream id the last one
 *	!stall, !read	the server stops reading, and reads again
 *	!quiet		what we send is no longer logged
 * Callbacks and sent frames are logged as text, which is compared.  Each script
 * runs with its input whole, byte by byte, and split at every point: the text has
 * to be the same.  Input always ends at an unreadable page. */
#include "mem.h"
#include "text.h"
#include "h2/int.h"

#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY
 * WINDOW_UPDATE CONTINUATION and an unknown one */
static const char letters[] = "DHPRSUIGWCX";
static const char *const type_names[] = { "DATA", "HEADERS", "PRIORITY",
	"RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
	"WINDOW_UPDATE", "CONTINUATION" };

#define BODY_MAX 1024
#define INPUT_MAX (1 << 16)
static unsigned char *guard; /* the first unreadable byte */

struct run {
	struct h2 *h;
	struct buf log;
	struct buf in; /* the server's bytes since the last owner's step */
	int64_t now_ms;
	size_t split; /* 0: byte by byte; SIZE_MAX: whole */
	size_t longest;
	bool over;
	bool stalled, quiet;
	bool in_callback_request; /* response() opens another */
	char due[4096];		  /* by owner: its answer is still to come */
};

static struct run *run; /* the current one */
static char owners[4096];

/* --- callbacks --- */

static const char *error_name(uint32_t code)
{
	static char buf[H2_ERROR_NAME_MAX];

	return h2_error_name(code, buf);
}

static void log_text(const void *p, size_t n)
{
	const unsigned char *s = p;
	size_t i;

	if (n > 40) {
		buf_add_fmt(&run->log, "(%zu bytes)", n);
		return;
	}
	for (i = 0; i < n; i++)
		buf_add_fmt(&run->log, isprint(s[i]) ? "%c" : "\\x%02x", s[i]);
}

static int owner_number(const void *owner)
{
	return (int)((const char *)owner - owners);
}

static void on_ready(void *arg)
{
	(void)arg;
	buf_add_str(&run->log, "ready\n");
}

static void on_header(void *arg, void *owner, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	(void)arg;
	buf_add_fmt(&run->log, "header %d ", owner_number(owner));
	log_text(name, name_len);
	buf_add_str(&run->log, ": ");
	log_text(value, value_len);
	buf_add_str(&run->log, "\n");
}

static uint32_t open_request(size_t body_len);

static void on_response(void *arg, void *owner, const struct h2_response *r)
{
	static const char *const outcomes[] = { "done", "unprocessed", "lost" };

	(void)arg;
	assert_true(run->due[owner_number(owner)]);
	run->due[owner_number(owner)] = 0;
	buf_add_fmt(
	    &run->log, "%s %d", outcomes[r->outcome], owner_number(owner));
	if (r->outcome == H2_DONE) {
		assert_null(r->reason);
		assert_int_equal(r->error, 0);
		buf_add_fmt(&run->log, " %d", r->status);
	} else {
		assert_int_equal(r->status, 0);
		assert_non_null(r->reason);
		buf_add_fmt(
		    &run->log, " %s, %s", error_name(r->error), r->reason);
	}
	if (r->body_len > 0) {
		buf_add_str(&run->log, " ");
		log_text(r->body, r->body_len);
	}
	buf_add_str(&run->log, "\n");
	if (run->in_callback_request)
		open_request(2);
}

static void on_goaway(
    void *arg, uint32_t error, const unsigned char *debug, size_t debug_len)
{
	(void)arg;
	buf_add_fmt(&run->log, "goaway %s ", error_name(error));
	log_text(debug, debug_len);
	buf_add_str(&run->log, "\n");
}

static const struct h2_ops ops = { on_ready, on_header, on_response,
	on_goaway };

/* --- sent frames --- */

static void log_frame(const unsigned char *p, size_t len)
{
	const uint32_t id = get_u32(p + 5);

	buf_add_fmt(&run->log, "> %s", type_names[p[3]]);
	if (id != 0)
		buf_add_fmt(&run->log, " %u", id);
	switch (p[3]) {
	case DATA:
		buf_add_fmt(&run->log, " %zu", len);
		break;
	case RST_STREAM:
		buf_add_fmt(&run->log, " %s", error_name(get_u32(p + 9)));
		break;
	case GOAWAY:
		buf_add_fmt(&run->log, " %s", error_name(get_u32(p + 13)));
		break;
	case WINDOW_UPDATE:
		buf_add_fmt(&run->log, " %u", get_u32(p + 9));
		break;
	default:
		break;
	}
	if (p[4] & 1)
		buf_add_str(&run->log, p[3] < 2 ? " end" : " ack");
	buf_add_str(&run->log, "\n");
}

/* Reads the output as a server would; half frames are a bug. */
static void drain(bool logged)
{
	struct buf *out = h2_out(run->h);

	while (out->len > 0 && !run->stalled) {
		const unsigned char *p = buf_head(out);
		size_t len;

		if (out->len >= 24 &&
		    memcmp(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 0) {
			buf_consume(out, 24);
			continue;
		}
		assert_true(out->len >= FRAME_HEADER);
		len = get_u32(p) >> 8;
		assert_true(len <= FRAME_MAX);
		assert_true(out->len >= FRAME_HEADER + len);
		if (logged && !run->quiet)
			log_frame(p, len);
		buf_consume(out, FRAME_HEADER + len);
		h2_out(run->h);
	}
}

/* --- scripts --- */

static uint32_t open_request(size_t body_len)
{
	static unsigned char body[1 << 20];
	const struct hpack_header headers[] = {
		{ ":method", "POST", 7, 4, HPACK_INDEX },
		{ ":scheme", "https", 7, 5, HPACK_INDEX },
		{ ":path", "/3/device/00", 5, 12, HPACK_TRY_INDEX },
		{ "apns-topic", "com.example", 10, 11, HPACK_INDEX },
	};

	const uint32_t owner = run->h->next_id & 0xfff;
	uint32_t id;

	id = h2_request(run->h, headers, 4, body, body_len, owners + owner);
	if (id != 0)
		run->due[owner] = 1;
	return id;
}

/* Headers that would not fit into one frame. */
static uint32_t open_big(void)
{
	static char value[H2_REQUEST_HEADERS_MAX];
	const struct hpack_header header = { "a", value, 1, sizeof(value),
		HPACK_INDEX };

	return h2_request(run->h, &header, 1, NULL, 0, owners);
}

static void feed(const unsigned char *p, size_t n)
{
	while (n > 0 && !run->over) {
		const size_t k = n < INPUT_MAX ? n : INPUT_MAX;

		memcpy(guard - k, p, k);
		if (h2_recv(run->h, guard - k, k, run->now_ms) < 0) {
			run->over = true;
			buf_add_fmt(&run->log, "error %s\n", h2_error(run->h));
		}
		p += k;
		n -= k;
	}
}

/* Passes the collected bytes to the engine, split as in this run. */
static void flush(void)
{
	const unsigned char *p = run->in.len ? buf_head(&run->in) : NULL;
	const size_t n = run->in.len;
	size_t i;

	if (n > run->longest)
		run->longest = n;
	if (run->split == 0) {
		for (i = 0; i < n; i++)
			feed(p + i, 1);
	} else if (run->split < n) {
		feed(p, run->split);
		feed(p + run->split, n - run->split);
	} else {
		feed(p, n);
	}
	buf_reset(&run->in);
	drain(true);
}

static const char *skip_blank(const char *s)
{
	while (*s == ' ')
		s++;
	return s;
}

static void add_literal(struct buf *b, const char *s, size_t n)
{
	const char *colon = memchr(s + 1, ':', n - 1);

	assert_non_null(colon);
	buf_add_byte(b, 0x00);
	buf_add_byte(b, (unsigned char)(colon - s));
	buf_add(b, s, (size_t)(colon - s));
	colon += 2;
	buf_add_byte(b, (unsigned char)(s + n - colon));
	buf_add(b, colon, (size_t)(s + n - colon));
}

/* One piece of payload; returns what follows it. */
static const char *add_piece(struct buf *b, const char *s)
{
	unsigned char be[4];
	const char *end;
	char *after;
	unsigned long n;

	if (*s == '\'' || *s == '[') {
		end = strchr(s + 1, *s == '[' ? ']' : '\'');
		assert_non_null(end);
		if (*s == '[')
			add_literal(b, s + 1, (size_t)(end - s - 1));
		else
			buf_add(b, s + 1, (size_t)(end - s - 1));
		return end + 1;
	}
	if (*s == '*' || *s == '~') {
		for (n = strtoul(s + 1, &after, 10); n > 0; n--)
			buf_add_byte(b, *s == '*' ? 0 : 'x');
		return after;
	}
	if (*s == '=') {
		set_u32(be, (uint32_t)strtoul(s + 1, &after, 10));
		buf_add(b, be, 4);
		return after;
	}
	for (; isxdigit((unsigned char)*s); s += 2) {
		unsigned char v;

		assert_true(text_hex_read(s, 2, &v));
		buf_add_byte(b, v);
	}
	assert_true(*s == ' ' || *s == ';' || *s == '\0');
	return s;
}

static const char *add_pieces(struct buf *b, const char *s)
{
	for (s = skip_blank(s); *s != ';' && *s != '\0'; s = skip_blank(s))
		s = add_piece(b, s);
	return s;
}

static const char *frame_step(const char *s)
{
	struct buf payload = BUF_INIT(1 << 20);
	unsigned char head[FRAME_HEADER];
	unsigned long count, flags, id;
	const char *letter;
	char type, *after;

	if (strncmp(s, "RAW", 3) == 0)
		return add_pieces(&run->in, s + 3);
	count = strtoul(s, &after, 10);
	if (*after == 'x')
		s = skip_blank(after + 1);
	else
		count = 1;
	letter = strchr(letters, *s);
	assert_non_null(letter);
	flags = strtoul(s + 1, &after, 16);
	id = strtoul(after, &after, 10);
	assert_true(isdigit((unsigned char)after[-1]));
	s = add_pieces(&payload, after);
	type = (char)(letter - letters);
	set_frame_header(head, payload.len,
	    type < FRAME_TYPES ? (enum frame_type)type : (enum frame_type)0x2a,
	    (uint8_t)flags, (uint32_t)id);
	for (; count > 0; count--) {
		buf_add(&run->in, head, sizeof(head));
		buf_add(&run->in, buf_head(&payload), payload.len);
	}
	assert_false(run->in.failed);
	buf_free(&payload);
	return s;
}

static void step_req(unsigned n)
{
	if (open_request(n) == 0)
		buf_add_str(&run->log, "refused\n");
}

static void step_reqs(unsigned n)
{
	while (n-- > 0)
		open_request(2);
	drain(false);
}

static void step_big(unsigned n)
{
	(void)n;
	assert_int_equal(open_big(), 0);
}

static void step_cancel(unsigned id)
{
	h2_cancel(run->h, id);
	run->due[id & 0xfff] = 0;
}

static void step_cancels(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		step_cancel(7 + 2 * i);
}

static void step_ping(unsigned n)
{
	(void)n;
	h2_ping(run->h);
	assert_true(run->over || h2_ping_outstanding(run->h));
}

static void step_pinged(unsigned n)
{
	(void)n;
	buf_add_str(&run->log,
	    h2_ping_outstanding(run->h) ? "outstanding\n" : "answered\n");
}

static void step_bye(unsigned n)
{
	(void)n;
	h2_send_goaway(run->h);
}

static void step_close(unsigned n)
{
	(void)n;
	h2_close(run->h);
	run->over = true;
}

static void step_wait(unsigned ms)
{
	run->now_ms += ms;
}

static void step_capacity(unsigned n)
{
	(void)n;
	buf_add_fmt(&run->log, "capacity %u open %u%s\n", h2_capacity(run->h),
	    run->h->open, h2_is_finished(run->h) ? " finished" : "");
}

static void step_again(unsigned n)
{
	(void)n;
	run->in_callback_request = true;
}

static void step_last(unsigned n)
{
	(void)n;
	run->h->next_id = ID_MAX;
}

static void step_stall(unsigned n)
{
	(void)n;
	run->stalled = true;
}

static void step_read(unsigned n)
{
	(void)n;
	run->stalled = false;
}

static void step_quiet(unsigned n)
{
	(void)n;
	run->quiet = true;
}

static const struct {
	const char *name;
	void (*fn)(unsigned n);
} owner_steps[] = {
	{ "!req", step_req },
	{ "!reqs", step_reqs },
	{ "!big", step_big },
	{ "!cancel", step_cancel },
	{ "!cancels", step_cancels },
	{ "!pinged", step_pinged },
	{ "!ping", step_ping },
	{ "!bye", step_bye },
	{ "!close", step_close },
	{ "!wait", step_wait },
	{ "!capacity", step_capacity },
	{ "!again", step_again },
	{ "!last", step_last },
	{ "!stall", step_stall },
	{ "!read", step_read },
	{ "!quiet", step_quiet },
};

static const char *owner_step(const char *s)
{
	const size_t len = strcspn(s, " ;");
	const unsigned n = (unsigned)atoi(s + len);
	size_t i;

	flush();
	for (i = 0; i < sizeof(owner_steps) / sizeof(*owner_steps); i++) {
		if (strlen(owner_steps[i].name) != len ||
		    strncmp(s, owner_steps[i].name, len) != 0)
			continue;
		owner_steps[i].fn(n);
		drain(true);
		return s + strcspn(s, ";");
	}
	fail_msg("unknown step %s", s);
	return NULL;
}

/* Runs one script; the text is the caller's. */
static char *run_script(
    const char *script, size_t split, uint32_t max_streams, size_t *longest_r)
{
	struct run r = { .split = split, .now_ms = 1000 };
	char *text;

	buf_init(&r.log, 1 << 20);
	buf_init(&r.in, 8 << 20);
	run = &r;
	r.h = h2_new(&ops, NULL, max_streams, BODY_MAX);
	while (*script != '\0') {
		script = skip_blank(script);
		script =
		    *script == '!' ? owner_step(script) : frame_step(script);
		if (*script == ';')
			script++;
	}
	flush();
	text = xstrndup(r.log.len ? (char *)buf_head(&r.log) : "", r.log.len);
	r.in_callback_request = false;
	h2_close(r.h);
	assert_null(memchr(r.due, 1, sizeof(r.due)));
	if (r.over)
		assert_true(h2_is_finished(r.h));
	assert_int_equal(r.h->open, 0);
	assert_int_equal(h2_capacity(r.h), 0);
	h2_free(r.h);
	buf_free(&r.log);
	buf_free(&r.in);
	if (longest_r != NULL)
		*longest_r = r.longest;
	return text;
}

#include "h2_cases.h"

/* Three requests are open; their frames are left out of the text. */
#define BEGIN "S 0 0;!req 2;!req 2;!req 2;"
#define BEGIN_TEXT                                                             \
	"ready\n> SETTINGS\n> SETTINGS ack\n"                                  \
	"> HEADERS 1\n> DATA 1 2 end\n"                                        \
	"> HEADERS 3\n> DATA 3 2 end\n"                                        \
	"> HEADERS 5\n> DATA 5 2 end\n"

static void check_case(const struct h2_case *c, size_t split, size_t *longest_r)
{
	struct buf script = BUF_INIT(1 << 20);
	struct buf want = BUF_INIT(1 << 20);
	char *text;

	if (!c->fresh) {
		buf_add_str(&script, BEGIN);
		buf_add_str(&want, BEGIN_TEXT);
	}
	buf_add_str(&script, c->script);
	buf_add_str(&want, c->want);
	buf_add_byte(&script, '\0');
	buf_add_byte(&want, '\0');
	text = run_script((char *)buf_head(&script), split, 100, longest_r);
	if (getenv("H2_TEST_PRINT"))
		printf("--- %s\n%s", c->name, text);
	else if (strcmp(text, (char *)buf_head(&want)) != 0)
		fail_msg("%s, split %zd: wanted\n%sgot\n%s", c->name,
		    (ssize_t)split, (char *)buf_head(&want), text);
	free(text);
	buf_free(&script);
	buf_free(&want);
}

/* Whole, byte by byte, and at every point (of floods, at some 200). */
static void test_case(void **state)
{
	const struct h2_case *c = *state;
	size_t longest, split, step;

	check_case(c, SIZE_MAX, &longest);
	if (getenv("H2_TEST_PRINT"))
		return;
	check_case(c, 0, NULL);
	step = longest > 400 ? longest / 200 + 1 : 1;
	for (split = 1; split < longest; split += step)
		check_case(c, split, NULL);
}

/* No callback is called. */
static void test_freed(void **state)
{
	static const unsigned char settings[9] = { 0, 0, 0, SETTINGS };
	struct run r = { 0 };

	(void)state;
	buf_init(&r.log, 1000);
	run = &r;
	r.h = h2_new(&ops, NULL, 10, BODY_MAX);
	assert_int_equal(h2_recv(r.h, settings, sizeof(settings), 0), 0);
	assert_int_equal(open_request(2), 1);
	assert_int_equal(open_request(70000), 3);
	assert_string_equal(h2_error(r.h), "");
	h2_free(r.h);
	h2_free(NULL);
	assert_int_equal(r.log.len, 6); /* "ready" */
	buf_free(&r.log);
}

static void test_error_names(void **state)
{
	(void)state;
	assert_string_equal(error_name(0), "NO_ERROR");
	assert_string_equal(error_name(0xd), "HTTP_1_1_REQUIRED");
	assert_string_equal(error_name(0xe), "unknown error (0xe)");
	assert_string_equal(
	    error_name(UINT32_MAX), "unknown error (0xffffffff)");
}

#define N_CASES (sizeof(cases) / sizeof(*cases))

int main(void)
{
	const long page = sysconf(_SC_PAGESIZE);
	struct CMUnitTest tests[N_CASES + 2] = { 0 };
	unsigned char *mem;
	size_t i;

	mem = mmap(NULL, INPUT_MAX + (size_t)page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 1;
	guard = mem + INPUT_MAX;
	if (mprotect(guard, (size_t)page, PROT_NONE) != 0)
		return 1;
	for (i = 0; i < N_CASES; i++) {
		const struct h2_case *c = &cases[i];

		tests[i].name = c->name;
		tests[i].test_func = test_case;
		memcpy(&tests[i].initial_state, &c, sizeof(c));
	}
	tests[N_CASES] = (struct CMUnitTest)cmocka_unit_test(test_freed);
	tests[N_CASES + 1] =
	    (struct CMUnitTest)cmocka_unit_test(test_error_names);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
