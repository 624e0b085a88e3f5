/* legacy.c - the digests and the cipher that only old files and the mailboxes'
 * hashes need, small instead of unrolled: they take the place of those of mbedTLS,
 * which are 9 KB more.  Slow, and nobody waits for them. */
#include <mbedtls/build_info.h>
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/des.h>
#include <mbedtls/md5.h>
#include <mbedtls/sha1.h>
#include <stdbool.h>
#include <stddef.h>

static uint32_t rotl(uint32_t x, unsigned int n)
{
	return x << (n & 31) | x >> (-n & 31);
}

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* --- SHA-1: FIPS 180-4 6.1.2 --- */

/* Of round t: the function of its twenty plus their constant. */
static uint32_t sha1_f(unsigned int t, uint32_t x, uint32_t y, uint32_t z)
{
	if (t < 20)
		return (z ^ (x & (y ^ z))) + 0x5a827999;
	if (t < 40)
		return (x ^ y ^ z) + 0x6ed9eba1;
	if (t < 60)
		return ((x & y) | (z & (x | y))) + 0x8f1bbcdc;
	return (x ^ y ^ z) + 0xca62c1d6;
}

int mbedtls_internal_sha1_process(
    mbedtls_sha1_context *ctx, const unsigned char data[64])
{
	uint32_t h[5], w[16], next;
	unsigned int t, i;

	for (i = 0; i < 5; i++)
		h[i] = ctx->state[i];
	for (t = 0; t < 80; t++) {
		uint32_t *const wt = &w[t % 16];

		*wt = t < 16 ? be32(data + (size_t)4 * t)
			     : rotl(w[(t + 13) % 16] ^ w[(t + 8) % 16] ^
					w[(t + 2) % 16] ^ *wt,
				   1);
		next = rotl(h[0], 5) + sha1_f(t, h[1], h[2], h[3]) + h[4] + *wt;
		h[4] = h[3];
		h[3] = h[2];
		h[2] = rotl(h[1], 30);
		h[1] = h[0];
		h[0] = next;
	}
	for (i = 0; i < 5; i++)
		ctx->state[i] += h[i];
	return 0;
}

/* --- MD5: RFC 1321 3.4 --- */

static const uint32_t md5_sines[64] = { 0xd76aa478, 0xe8c7b756, 0x242070db,
	0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8,
	0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e,
	0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87,
	0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942,
	0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60,
	0xbebfbc70, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039,
	0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97, 0xab9423a7,
	0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f,
	0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391 };

static const unsigned char md5_shifts[16] = { 7, 12, 17, 22, 5, 9, 14, 20, 4,
	11, 16, 23, 6, 10, 15, 21 };

/* Of round t: its function; *word is the one of the block that it takes. */
static uint32_t md5_f(
    unsigned int t, uint32_t x, uint32_t y, uint32_t z, unsigned int *word)
{
	switch (t / 16) {
	case 0:
		*word = t;
		return z ^ (x & (y ^ z));
	case 1:
		*word = 5 * t + 1;
		return y ^ (z & (x ^ y));
	case 2:
		*word = 3 * t + 5;
		return x ^ y ^ z;
	default:
		*word = 7 * t;
		return y ^ (x | ~z);
	}
}

int mbedtls_internal_md5_process(
    mbedtls_md5_context *ctx, const unsigned char data[64])
{
	uint32_t a = ctx->state[0], b = ctx->state[1];
	uint32_t c = ctx->state[2], d = ctx->state[3], sum;
	unsigned int t, word;
	const unsigned char *p;

	for (t = 0; t < 64; t++) {
		sum = a + md5_f(t, b, c, d, &word) + md5_sines[t];
		p = data + (size_t)4 * (word % 16);
		sum += p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		       (uint32_t)p[3] << 24;
		a = d;
		d = c;
		c = b;
		b += rotl(sum, md5_shifts[t / 16 * 4 + t % 4]);
	}
	ctx->state[0] += a;
	ctx->state[1] += b;
	ctx->state[2] += c;
	ctx->state[3] += d;
	return 0;
}

/* --- DES: FIPS 46-3; its tables count bits from 1, the highest first --- */

static const unsigned char des_pc1[56] = { 57, 49, 41, 33, 25, 17, 9, 1, 58, 50,
	42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
	63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53,
	45, 37, 29, 21, 13, 5, 28, 20, 12, 4 };

static const unsigned char des_pc2[48] = { 14, 17, 11, 24, 1, 5, 3, 28, 15, 6,
	21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47,
	55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29,
	32 };

static const unsigned char des_p[32] = { 16, 7, 20, 21, 29, 12, 28, 17, 1, 15,
	23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22,
	11, 4, 25 };

/* Four bits each, of S1 to S8; by the six bits as they come. */
static const unsigned char des_s[8 * 32] = { 0xe0, 0x4f, 0xd7, 0x14, 0x2e, 0xf2,
	0xbd, 0x81, 0x3a, 0xa6, 0x6c, 0xcb, 0x59, 0x95, 0x03, 0x78, 0x4f, 0x1c,
	0xe8, 0x82, 0xd4, 0x69, 0x21, 0xb7, 0xf5, 0xcb, 0x93, 0x7e, 0x3a, 0xa0,
	0x56, 0x0d, 0xf3, 0x1d, 0x84, 0xe7, 0x6f, 0xb2, 0x38, 0x4e, 0x9c, 0x70,
	0x21, 0xda, 0xc6, 0x09, 0x5b, 0xa5, 0x0d, 0xe8, 0x7a, 0xb1, 0xa3, 0x4f,
	0xd4, 0x12, 0x5b, 0x86, 0xc7, 0x6c, 0x90, 0x35, 0x2e, 0xf9, 0xad, 0x07,
	0x90, 0xe9, 0x63, 0x34, 0xf6, 0x5a, 0x12, 0xd8, 0xc5, 0x7e, 0xbc, 0x4b,
	0x2f, 0x81, 0xd1, 0x6a, 0x4d, 0x90, 0x86, 0xf9, 0x38, 0x07, 0xb4, 0x1f,
	0x2e, 0xc3, 0x5b, 0xa5, 0xe2, 0x7c, 0x7d, 0xd8, 0xeb, 0x35, 0x06, 0x6f,
	0x90, 0xa3, 0x14, 0x27, 0x82, 0x5c, 0xb1, 0xca, 0x4e, 0xf9, 0xa3, 0x6f,
	0x90, 0x06, 0xca, 0xb1, 0x7d, 0xd8, 0xf9, 0x14, 0x35, 0xeb, 0x5c, 0x27,
	0x82, 0x4e, 0x2e, 0xcb, 0x42, 0x1c, 0x74, 0xa7, 0xbd, 0x61, 0x85, 0x50,
	0x3f, 0xfa, 0xd3, 0x09, 0xe8, 0x96, 0x4b, 0x28, 0x1c, 0xb7, 0xa1, 0xde,
	0x72, 0x8d, 0xf6, 0x9f, 0xc0, 0x59, 0x6a, 0x34, 0x05, 0xe3, 0xca, 0x1f,
	0xa4, 0xf2, 0x97, 0x2c, 0x69, 0x85, 0x06, 0xd1, 0x3d, 0x4e, 0xe0, 0x7b,
	0x53, 0xb8, 0x94, 0xe3, 0xf2, 0x5c, 0x29, 0x85, 0xcf, 0x3a, 0x7b, 0x0e,
	0x41, 0xa7, 0x16, 0xd0, 0xb8, 0x6d, 0x4d, 0xb0, 0x2b, 0xe7, 0xf4, 0x09,
	0x81, 0xda, 0x3e, 0xc3, 0x95, 0x7c, 0x52, 0xaf, 0x68, 0x16, 0x16, 0x4b,
	0xbd, 0xd8, 0xc1, 0x34, 0x7a, 0xe7, 0xa9, 0xf5, 0x60, 0x8f, 0x0e, 0x52,
	0x93, 0x2c, 0xd1, 0x2f, 0x8d, 0x48, 0x6a, 0xf3, 0xb7, 0x14, 0xac, 0x95,
	0x36, 0xeb, 0x50, 0x0e, 0xc9, 0x72, 0x72, 0xb1, 0x4e, 0x17, 0x94, 0xca,
	0xe8, 0x2d, 0x0f, 0x6c, 0xa9, 0xd0, 0xf3, 0x35, 0x56, 0x8b };

/* The n bits of in (of which there are width) that the table names. */
static uint64_t des_pick(
    uint64_t in, int width, const unsigned char *table, int n)
{
	uint64_t out = 0;
	int i;

	for (i = 0; i < n; i++)
		out = out << 1 | (in >> (width - table[i]) & 1);
	return out;
}

/* The initial permutation, or back. */
static uint64_t des_ip(uint64_t in, bool back)
{
	uint64_t out = 0;
	int i, from, to;

	for (i = 0; i < 64; i++) {
		from = 63 - (8 * (7 - i % 8) + (2 * (i / 8) + 1) % 9);
		to = 63 - i;
		out |= back ? (in >> to & 1) << from : (in >> from & 1) << to;
	}
	return out;
}

/* Round keys as two times 24 bits: mbedTLS turns their order for decryption by
 * such pairs. */
void mbedtls_des_setkey(uint32_t sk[32], const unsigned char key[8])
{
	uint64_t cd, k;
	uint32_t c, d;
	int i;

	cd = des_pick(
	    (uint64_t)be32(key) << 32 | be32(key + 4), 64, des_pc1, 56);
	c = (uint32_t)(cd >> 28);
	d = cd & 0xfffffff;
	for (i = 0; i < 16; i++) {
		const int n = i < 2 || i == 8 || i == 15 ? 1 : 2;

		c = (c << n | c >> (28 - n)) & 0xfffffff;
		d = (d << n | d >> (28 - n)) & 0xfffffff;
		k = des_pick((uint64_t)c << 28 | d, 56, des_pc2, 48);
		sk[2 * i] = (uint32_t)(k >> 24);
		sk[2 * i + 1] = k & 0xffffff;
	}
}

static uint32_t des_f(uint32_t r, const uint32_t sk[2])
{
	uint32_t out = 0;
	unsigned int i, six;

	/* E: four bits and their two neighbours. */
	for (i = 0; i < 8; i++) {
		six = rotl(r, 4 * i + 31) >> 26;
		six ^= sk[i / 4] >> (18 - 6 * (i % 4)) & 63;
		out = out << 4 |
		      (des_s[32 * i + six / 2] >> (six % 2 ? 0 : 4) & 15);
	}
	return (uint32_t)des_pick(out, 32, des_p, 32);
}

/* Rounds of 16 one behind the other: the permutations between them cancel. */
static int des_crypt(
    const uint32_t *sk, int rounds, const unsigned char *in, unsigned char *out)
{
	uint64_t block = des_ip((uint64_t)be32(in) << 32 | be32(in + 4), false);
	uint32_t l = (uint32_t)(block >> 32), r = (uint32_t)block, next;
	int i;

	for (i = 1; i <= rounds; i++, sk += 2) {
		next = l ^ des_f(r, sk);
		l = r;
		r = next;
		if (i % 16 == 0) {
			r = l;
			l = next;
		}
	}
	block = des_ip((uint64_t)l << 32 | r, true);
	for (i = 0; i < 8; i++)
		out[i] = (unsigned char)(block >> (56 - 8 * i));
	return 0;
}

int mbedtls_des_crypt_ecb(
    mbedtls_des_context *ctx, const unsigned char in[8], unsigned char out[8])
{
	return des_crypt(ctx->sk, 16, in, out);
}

int mbedtls_des3_crypt_ecb(
    mbedtls_des3_context *ctx, const unsigned char in[8], unsigned char out[8])
{
	return des_crypt(ctx->sk, 48, in, out);
}
