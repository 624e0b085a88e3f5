/* SHA-1, MD5 and DES: of static/legacy.c in the static executables, of the system's
 * mbedTLS otherwise.  The results of the chains are those of OpenSSL. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <mbedtls/des.h>
#include <mbedtls/md.h>

static void hash(mbedtls_md_type_t type, const void *data, size_t len,
    const char *hex, unsigned char out[20])
{
	const mbedtls_md_info_t *const md = mbedtls_md_info_from_type(type);
	char text[41];
	size_t i;

	assert_int_equal(mbedtls_md(md, data, len, out), 0);
	for (i = 0; i < mbedtls_md_get_size(md); i++)
		snprintf(text + 2 * i, 3, "%02x", out[i]);
	if (hex != NULL)
		assert_string_equal(text, hex);
}

static const struct {
	const char *text, *md5, *sha1;
} texts[] = {
	/* RFC 1321 A.5, FIPS 180-2 A. */
	{ "", "d41d8cd98f00b204e9800998ecf8427e",
	    "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
	{ "abc", "900150983cd24fb0d6963f7d28e17f72",
	    "a9993e364706816aba3e25717850c26c9cd0d89d" },
	{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0", NULL },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	    "8215ef0796a20bcaaae116d3876c664a",
	    "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
	/* The mailbox that most hashes are of. */
	{ "INBOX", "7e33429f656f1e6e9d79b29c3f82c57e", NULL },
};

static void published(void **state)
{
	unsigned char out[20];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		hash(MBEDTLS_MD_MD5, texts[i].text, strlen(texts[i].text),
		    texts[i].md5, out);
		hash(MBEDTLS_MD_SHA1, texts[i].text, strlen(texts[i].text),
		    texts[i].sha1, out);
	}
}

/* Each of the hash before it and n times the byte n, for n from 0 to 199. */
static void chain(mbedtls_md_type_t type, size_t size, const char *hex)
{
	unsigned char data[20 + 200], out[20];
	size_t had = 0, n;

	for (n = 0; n < 200; n++, had = size) {
		memcpy(data, out, had);
		memset(data + had, (int)n, n);
		hash(type, data, had + n, n == 199 ? hex : NULL, out);
	}
}

static void chains(void **state)
{
	(void)state;
	chain(MBEDTLS_MD_MD5, 16, "fbb31a09b7ac7045207fbd4848bae230");
	chain(MBEDTLS_MD_SHA1, 20, "ce8236f59baeef0e099ba99971be9a76f520e142");
}

/* Every block becomes the end of the next key. */
static void des3_chain(void **state)
{
	static const unsigned char end[8] = { 0x6a, 0xc2, 0x25, 0x29, 0xbd,
		0x31, 0x1f, 0xd7 };
	unsigned char key[24], block[8] = { 0 }, before[8], back[8];
	mbedtls_des3_context des;
	int i;

	(void)state;
	for (i = 0; i < 24; i++)
		key[i] = (unsigned char)(i + 1);
	mbedtls_des3_init(&des);
	for (i = 0; i < 1000; i++) {
		memcpy(before, block, 8);
		mbedtls_des3_set3key_enc(&des, key);
		mbedtls_des3_crypt_ecb(&des, before, block);
		mbedtls_des3_set3key_dec(&des, key);
		mbedtls_des3_crypt_ecb(&des, block, back);
		assert_memory_equal(back, before, 8);
		memmove(key, key + 8, 16);
		memcpy(key + 16, block, 8);
	}
	mbedtls_des3_free(&des);
	assert_memory_equal(block, end, 8);
}

/* With three times the same key it is DES: FIPS 46-3's in the form that many
 * books have it. */
static void des_known(void **state)
{
	static const unsigned char key[8] = { 0x13, 0x34, 0x57, 0x79, 0x9b,
		0xbc, 0xdf, 0xf1 };
	static const unsigned char in[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
		0xcd, 0xef };
	static const unsigned char out[8] = { 0x85, 0xe8, 0x13, 0x54, 0x0f,
		0x0a, 0xb4, 0x05 };
	unsigned char got[8], twice[16];
	mbedtls_des_context one;
	mbedtls_des3_context two;

	(void)state;
	mbedtls_des_init(&one);
	mbedtls_des_setkey_enc(&one, key);
	mbedtls_des_crypt_ecb(&one, in, got);
	assert_memory_equal(got, out, 8);
	mbedtls_des_setkey_dec(&one, key);
	mbedtls_des_crypt_ecb(&one, out, got);
	assert_memory_equal(got, in, 8);
	mbedtls_des_free(&one);

	memcpy(twice, key, 8);
	memcpy(twice + 8, key, 8);
	mbedtls_des3_init(&two);
	mbedtls_des3_set2key_enc(&two, twice);
	mbedtls_des3_crypt_ecb(&two, in, got);
	assert_memory_equal(got, out, 8);
	mbedtls_des3_free(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published),
		cmocka_unit_test(chains),
		cmocka_unit_test(des3_chain),
		cmocka_unit_test(des_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
