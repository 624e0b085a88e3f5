/* What is read out of Dovecot's modules: files that may be damaged, or anybody's. */
#include "ctl/modules.c"

#include "unit.h"

/* Without a byte behind it, which ASan and valgrind would see. */
static struct build read_exactly(const void *data, size_t len)
{
	struct build b = { .damaged = true };
	char *copy = malloc(len + (len == 0));

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	take_file(copy, len, &b);
	free(copy);
	return b;
}

static void test_abi(void **state)
{
	static const struct {
		const char *text, *abi;
	} cases[] = {
		{ "2.3.ABIv19(2.3.19.1)", "2.3.ABIv19" },
		{ "x/2.4.ABIv1", "2.4.ABIv1" },
		{ ".ABIv7", ".ABIv7" },
		{ "2.3.ABIv", "2.3.ABIv" },
		{ "ABIv19", "" },
		{ "", "" },
		{ "2.3.ABIv111111111111111111111111111", "" },
		{ "111111111111111111111111.3.ABIv1", "" },
	};
	char abi[ABI_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		size_t len = strlen(cases[i].text);
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, cases[i].text, len);
		memset(abi, 0, sizeof(abi));
		take_abi(copy, len, abi);
		assert_string_equal(abi, cases[i].abi);
		free(copy);
	}
}

/* A module: head, text, and a table of sections at its end. */
struct module {
	ElfW(Ehdr) head;
	char text[40];
	ElfW(Shdr) sections[2];
};

static struct module whole(void)
{
	struct module m = {
		.head = {
			.e_machine = EM_X86_64,
			.e_shoff = offsetof(struct module, sections),
			.e_shnum = 2,
			.e_shentsize = sizeof(ElfW(Shdr)),
		},
		.text = "\0libc.so.6\0002.3.ABIv19(2.3.19.1)",
	};

	memcpy(m.head.e_ident, ELFMAG, SELFMAG);
	m.head.e_ident[EI_CLASS] = sizeof(void *) == 8 ? 2 : 1;
	m.head.e_ident[EI_DATA] = 1;
	return m;
}

static void test_every_length(void **state)
{
	struct module m = whole();
	struct build b;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(m); len++) {
		b = read_exactly(&m, len);
		assert_true(b.damaged);
	}
	b = read_exactly(&m, sizeof(m));
	assert_false(b.damaged);
	assert_true(b.glibc);
	assert_string_equal(b.abi, "2.3.ABIv19");
}

/* Every byte of the head, with values that are too large. */
static void test_every_byte(void **state)
{
	static const unsigned char values[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(ElfW(Ehdr)); i++) {
		for (k = 0; k < sizeof(values); k++) {
			struct module m = whole();

			memset((char *)&m + i, values[k], 1);
			read_exactly(&m, sizeof(m));
			if (i < sizeof(m.head) - 8)
				memset((char *)&m + i, values[k], 8);
			read_exactly(&m, sizeof(m));
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_true(is_xaps("lib95_xaps_imap_plugin.so"));
	assert_true(is_xaps("lib_xaps_imap_plugin.so"));
	assert_true(is_xaps("libxaps_imap_plugin.so"));
	assert_true(is_xaps("xaps_imap_plugin.so"));
	assert_true(is_xaps("25_xaps_imap_plugin.so"));
	assert_false(is_xaps("lib25xaps_imap_plugin.so"));
	assert_false(is_xaps("lib25_other_xaps_plugin.so"));
	assert_false(is_xaps("xaps_imap_plugin.so.1"));
	assert_false(is_xaps("lib"));
	assert_false(is_xaps(""));
	assert_false(is_xaps(".so"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_abi),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
