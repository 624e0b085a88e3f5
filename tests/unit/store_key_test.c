/* store_key_test.c - what a registration is packed into: accounts that are
 * UUIDs, and those that are not; mailboxes that change; other kinds' addresses. */
#include "unit.h"

#include "store_util.h"
#include "buf.h"
#include "needs.h"

#define UUID "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5"
#define NINES "999999999999999999999999999999999999999999999999999999999"
#define NOW_S 1800000000LL
#define DAY_S 86400

/* Each is an account of its own; is_uuid: kept as one. */
static const struct {
	const char *name;
	bool is_uuid;
} accounts[] = {
	{ UUID, true },
	{ "00000000-0000-0000-0000-000000000000", true },
	{ "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", true },
	{ "30313233-3435-3637-3839-414243444546", true },
	{ "0123456789ABCDEF", false }, /* the same bytes */
	{ "2D2D2D2D-2D2D-2D2D-2D2D-2D2D2D2D2D2D", true },
	{ "----------------", false }, /* again */
	{ "0715baf2-7c1f-4b9a-9c0e-30a1b2c3d4e5", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E6", true },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4e5", false },
	{ "0715bAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5", false },
	{ "0715BAF27-C1F-4B9A-9C0E-30A1B2C3D4E5", false },
	{ "0715BAF-27C1F-4B9A-9C0E-30A1B2C3D4E5", false },
	{ "0715BAF2-7C1F-4B9A-9C0E030A1B2C3D4E5", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E-", false },
	{ "0715BAF207C1F04B9A09C0E030A1B2C3D4E5", false },
	{ "0715BAF27C1F4B9A9C0E30A1B2C3D4E5", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4EG", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E@", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E:", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E ", false },
	{ " 0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E", false },
	{ "{715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E}", false },
	{ "0715BAF2_7C1F_4B9A_9C0E_30A1B2C3D4E5", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5 ", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E55", false },
	{ "0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5" UUID, false },
	{ "0715BAF2-7C1F-4B9A-9C0E-", false },
	{ "-7C1F-4B9A-9C0E-30A1B2C3D4E5", false },
	{ "----", false },
	{ "------------------------------------", false },
	{ "0715BAF2", false },
	{ "0", false },
	{ "-", false },
	{ "~", false },
	{ "webpush", false },
	{ UUID NINES NINES "99999999999999999999999999999999999999999999999999",
	    false },
};
#define N_ACCOUNTS (sizeof(accounts) / sizeof(*accounts))

static void assert_accounts(struct store *s, const char *token)
{
	char out[REG_ACCOUNT_MAX + 1];
	struct reg *r, *one;
	size_t i, k;

	assert_int_equal(store_count(s), N_ACCOUNTS);
	for (i = 0; i < N_ACCOUNTS; i++) {
		r = store_find(s, "al", accounts[i].name, token);
		assert_non_null(r);
		assert_string_equal(reg_account(r, out), accounts[i].name);
		assert_int_equal(r->has_uuid, accounts[i].is_uuid);
		assert_string_equal(reg_mailbox(r, 1), "Notes");
		for (k = 0; k < N_ACCOUNTS; k++) {
			assert_int_equal(
			    reg_has_account(r, accounts[k].name), k == i);
			one = store_find(s, "al", accounts[k].name, token);
			assert_int_equal(reg_compare_accounts(r, one) < 0,
			    strcmp(accounts[i].name, accounts[k].name) < 0);
			assert_int_equal(
			    reg_compare_accounts(r, one) == 0, k == i);
		}
	}
}

static void test_accounts(void **state)
{
	struct store *s = open_store();
	size_t i;

	(void)state;
	assert_int_equal(strlen(accounts[N_ACCOUNTS - 1].name), 200);
	for (i = 0; i < N_ACCOUNTS; i++)
		put(s, "al", accounts[i].name, TOKEN, "Notes", 5);
	assert_accounts(s, TOKEN);
	sync_store(s);
	store_close(s);
	s = open_store();
	assert_accounts(s, TOKEN);
	/* Put again, each is the one that it was. */
	for (i = 0; i < N_ACCOUNTS; i++)
		assert_ptr_equal(
		    put(s, "al", accounts[i].name, TOKEN, "Notes", 6),
		    store_find(s, "al", accounts[i].name, TOKEN));
	assert_accounts(s, TOKEN);
	for (i = 0; i < N_ACCOUNTS; i++) {
		store_drop(s, store_find(s, "al", accounts[i].name, TOKEN));
		assert_null(store_find(s, "al", accounts[i].name, TOKEN));
		assert_int_equal(store_count(s), N_ACCOUNTS - 1 - i);
	}
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 0);
	store_close(s);
}

/* Removals that other nodes may still have keep the same key. */
static void test_gone(void **state)
{
	struct store *s = open_store();
	struct buf b = BUF_INIT(1024);
	struct reg *r, *grave;

	(void)state;
	r = put(s, "al", UUID, TOKEN, "Notes", 5);
	grave = grave_dig(s, r, 7004);
	assert_ptr_equal(grave_find(s, r), grave);
	assert_true(grave->has_uuid);
	assert_true(reg_write_gone(grave, 7004, &b));
	buf_add_byte(&b, 0);
	assert_string_equal(buf_head(&b),
	    "{\"user\":\"al\",\"account\":\"" UUID
	    "\",\"token\":\"0123456789abcdef0123456789abcdef\","
	    "\"gone\":true,\"t\":7004}\n");
	grave_open(s, grave);
	assert_null(grave_find(s, r));
	buf_free(&b);
	store_close(s);
}

static void test_line(void **state)
{
	struct store *s = open_store();

	(void)state;
	put(s, "al", UUID, TOKEN, "Notes", 5);
	sync_store(s);
	assert_file("db", "{\"user\":\"al\",\"account\":\"" UUID
			  "\",\"token\":\"0123456789abcdef0123456789abcdef\","
			  "\"mailboxes\":[\"INBOX\",\"Notes\"],"
			  "\"acked\":true,\"time\":5}\n");
	store_close(s);
}

/* The device came back with another account: the older one goes. */
static void test_replaced(void **state)
{
	static const char *const newer[] = {
		"0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E6",
		"0715baf2-7c1f-4b9a-9c0e-30a1b2c3d4e5", "new"
	};
	struct store_limits limits = { .ttl_s = 31 * DAY_S };
	struct store *s;
	size_t i, hour;

	(void)state;
	for (i = 0; i < sizeof(newer) / sizeof(*newer); i++) {
		s = store_view_new();
		store_set_limits(s, &limits);
		store_clock(s, NOW_S - 4 * DAY_S, 0);
		store_clock(s, NOW_S, 4 * DAY_S);
		put(s, "al", UUID, TOKEN, NULL, NOW_S - 1);
		put(s, "al", newer[i], TOKEN, NULL, NOW_S);
		for (hour = 0; hour < 72; hour++) {
			store_clock(s, NOW_S + (int64_t)hour * 3600,
			    4 * DAY_S + (int64_t)hour * 3600);
			assert_int_equal(store_expire(s), 0);
		}
		store_clock(s, NOW_S + 72 * 3600, 7 * DAY_S);
		assert_int_equal(store_expire(s), 1);
		assert_non_null(store_find(s, "al", newer[i], TOKEN));
		store_view_free(s);
	}
}

/* --- mailboxes that change --- */

/* The least that a registration can have, so its rest is no longer than the
 * address that takes its place. */
static void test_shortest(void **state)
{
	static const char token[] = "0123456789abcdef";
	const char *boxes[] = { "INBOX", "\xc3\xbc", "Inbox", "Shared" };
	const struct reg_canonical canonical[] = { { NULL, NULL },
		{ NULL, NULL }, { NULL, NULL }, { "bob", "Shared" } };
	static const size_t counts[] = { 0, 1, 3, 4, 2, 0, 4, 0, 1 };
	struct reg_spec spec = { .user = "a",
		.account = "-",
		.token = token,
		.mailboxes = boxes,
		.canonical = canonical,
		.time_s = 5 };
	struct store *s = open_store();
	const struct watch *cursor;
	struct reg *r = NULL;
	char out[REG_TOKEN_MAX + 1];
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		spec.n_mailboxes = counts[i];
		if (i == 0)
			r = store_put(s, &spec);
		assert_ptr_equal(store_put(s, &spec), r);
		assert_string_equal(reg_token(r, out), token);
		assert_int_equal(reg_n_mailboxes(r), counts[i]);
		for (k = 0; k < counts[i]; k++)
			assert_string_equal(reg_mailbox(r, k), boxes[k]);
		cursor = NULL;
		assert_ptr_equal(store_watcher(s, "bob", &cursor),
		    counts[i] == 4 ? r : NULL);
	}
	store_close(s);
}

/* INBOX, which is packed, wherever it may be. */
static void test_inbox(void **state)
{
	const char *boxes[] = { "Notes", "INBOX", "Inbox", "INBOX", "INBOXES" };
	const struct reg_canonical canonical[] = { { NULL, "INBOX" },
		{ "bob", "INBOX" }, { NULL, "INBOX" }, { NULL, "INBOX" },
		{ NULL, NULL } };
	struct reg_spec spec = { .user = "al",
		.account = UUID,
		.token = TOKEN,
		.mailboxes = boxes,
		.n_mailboxes = 5,
		.canonical = canonical,
		.time_s = 5 };
	struct store *s = open_store();
	const char *at = NULL;
	struct reg *r;
	size_t i;

	(void)state;
	store_put(s, &spec);
	sync_store(s);
	assert_file("db",
	    "{\"user\":\"al\",\"account\":\"" UUID
	    "\",\"token\":\"0123456789abcdef0123456789abcdef\","
	    "\"mailboxes\":[\"Notes\",\"INBOX\",\"Inbox\",\"INBOX\","
	    "\"INBOXES\"],\"canonical\":[\"INBOX\",[\"bob\",\"INBOX\"]],"
	    "\"acked\":false,\"time\":5}\n");
	store_close(s);
	s = open_store();
	r = store_first(s, "al");
	for (i = 0; i < 5; i++)
		assert_string_equal(reg_next_mailbox(r, &at), boxes[i]);
	assert_int_equal(reg_match(r, "inbox"), 0);
	assert_int_equal(reg_match_next(r, NULL, "INBOX", 0), 2);
	assert_int_equal(reg_match_next(r, NULL, "INBOX", 2), 3);
	assert_int_equal(reg_match_next(r, NULL, "INBOX", 3), -1);
	assert_int_equal(reg_match_next(r, "BOB", "INBOX", -1), 1);
	assert_int_equal(reg_match(r, "INBOXES"), 4);
	assert_int_equal(reg_match(r, "Notes"), -1);
	assert_int_equal(reg_find_mailbox(r, "iNBOX"), 1);
	store_close(s);
}

/* --- anything, compared with a list of what was put --- */

#define USERS 3
#define KEYS 6 /* of each user */
#define STEPS 20000
#define BOXES 4

struct model {
	bool is_there;
	struct reg_spec spec;
	const char *mailboxes[BOXES];
	struct reg_canonical canonical[BOXES];
};

static uint32_t seed = 1;

static unsigned any(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static void set_model(struct model *m, size_t i, unsigned step)
{
	static const char *const users[] = { "a", "al@example.org", UUID };
	static const char *const names[] = { UUID, "-",
		"0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E6", "webpush",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "0715" };
	static const char *const boxes[] = { "INBOX", "*", "Notes",
		"Entw&APw-rfe", "x" };
	static const char *const owners[] = { NULL, "bob", "Carol", "al" };
	static const char *const tos[] = { "a", "https://push.example/abc" };
	struct reg_spec *spec = &m->spec;
	size_t k;

	m->is_there = true;
	*spec = (struct reg_spec){ .user = users[i / KEYS],
		.account = names[i % KEYS],
		.token = i % 3 ? "0123456789abcdef" : TOKEN "1",
		.mailboxes = m->mailboxes,
		.n_mailboxes = any(BOXES + 1),
		.acked = true,
		.time_s = 1000 + (int64_t)step * DAY_S, /* so it is written */
		.canonical = any(2) ? m->canonical : NULL };
	if (any(3) == 0) {
		spec->kind = (enum reg_kind)(REG_WEBPUSH + any(3));
		spec->to = tos[any(2)];
	}
	for (k = 0; k < spec->n_mailboxes; k++) {
		m->mailboxes[k] = boxes[any(5)];
		m->canonical[k].owner = owners[any(4)];
		m->canonical[k].mailbox = any(3) ? boxes[any(5)] : NULL;
	}
}

/* Its line is that of a registration which never was another one. */
static void assert_same(const struct reg *r, const struct model *m)
{
	struct buf have = BUF_INIT(4096), want = BUF_INIT(4096);
	struct reg *new = reg_new(&m->spec);

	assert_non_null(r);
	assert_true(reg_write(r, NULL, &have) && reg_write(new, NULL, &want));
	assert_int_equal(have.len, want.len);
	assert_memory_equal(buf_head(&have), buf_head(&want), want.len);
	assert_int_equal(reg_bytes(r), reg_bytes(new));
	buf_free(&have);
	buf_free(&want);
	reg_free(new);
}

static bool watches(const struct model *m, const char *owner)
{
	const struct reg_canonical *c = m->spec.canonical;
	size_t i;

	for (i = 0; m->is_there && c != NULL && i < m->spec.n_mailboxes; i++)
		if (c[i].mailbox != NULL && c[i].owner != NULL &&
		    strcmp(c[i].owner, owner) == 0)
			return true;
	return false;
}

static void assert_all(struct store *s, const struct model *models)
{
	static const char *const owners[] = { "bob", "Carol", "al" };
	const struct watch *cursor;
	const struct model *m;
	size_t i, n = 0, watching;

	for (m = models; m < models + USERS * KEYS; m++) {
		if (!m->is_there)
			continue;
		n++;
		assert_same(
		    store_find(s, m->spec.user, m->spec.account, m->spec.token),
		    m);
	}
	assert_int_equal(store_count(s), n);
	for (i = 0; i < 3; i++) {
		watching = 0;
		for (m = models; m < models + USERS * KEYS; m++)
			watching += watches(m, owners[i]);
		cursor = NULL;
		while (store_watcher(s, owners[i], &cursor) != NULL)
			watching--;
		assert_int_equal(watching, 0);
	}
}

static void change(struct store *s, struct model *m, size_t i, unsigned step)
{
	struct reg *r = NULL, *now;

	if (m->is_there)
		r = store_find(s, m->spec.user, m->spec.account, m->spec.token);
	assert_int_equal(r != NULL, m->is_there);
	if (r != NULL && any(6) == 0) {
		store_drop(s, r);
		m->is_there = false;
	} else if (r != NULL && m->spec.kind != REG_APPLE && any(3) == 0) {
		m->spec.to = "another";
		assert_ptr_equal(
		    store_set_to(s, r, m->spec.to, m->spec.time_s), r);
	} else {
		set_model(m, i, step);
		now = store_put(s, &m->spec);
		assert_non_null(now);
		if (r != NULL)
			assert_ptr_equal(now, r);
	}
}

static void test_any_order(void **state)
{
	static struct model models[USERS * KEYS];
	struct store *s = open_store();
	unsigned step;
	size_t i;

	(void)state;
	for (step = 0; step < STEPS; step++) {
		i = any(USERS * KEYS);
		change(s, &models[i], i, step);
		if (any(20) == 0)
			sync_store(s);
		if (any(50) == 0) {
			assert_all(s, models);
			store_close(s);
			s = open_store();
			assert_all(s, models);
		}
	}
	store_close(s);
}

/* --- what it takes --- */

/* As of a phone with one account: of the 112 bytes musl makes 128. */
static void test_size(void **state)
{
	struct store *s = open_store();
	struct reg *r = put(s, "user000123",
	    "0715BAF2-7C1F-4B9A-9C0E-000000000123", TOKEN TOKEN, NULL, 5);

	(void)state;
	if (sizeof(void *) == 8)
		assert_int_equal(offsetof(struct reg, key), 55);
	assert_int_equal(key_len(r) + mailboxes_len_all(r),
	    sizeof("user000123") + 16 + 32 + 2);
	store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_accounts),
		T(test_gone),
		T(test_line),
		T(test_replaced),
		T(test_shortest),
		T(test_inbox),
		T(test_any_order),
		T(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
