/* memcmp.c - musl's goes byte by byte, and every push compares headers and keys:
 * here eight bytes at once, for 100 bytes of code. */
#include <stdint.h>
#include <string.h>

/* Called, not copied to each of its callers: 400 bytes. */
__attribute__((noinline)) int memcmp(
    const void *left, const void *right, size_t n)
{
	const unsigned char *a = left, *b = right;
	uint64_t x, y;

	for (; n >= sizeof(x); a += sizeof(x), b += sizeof(x), n -= sizeof(x)) {
		__builtin_memcpy(&x, a, sizeof(x));
		__builtin_memcpy(&y, b, sizeof(y));
		if (x != y)
			break;
	}
	for (; n > 0 && *a == *b; a++, b++)
		n--;
	return n > 0 ? *a - *b : 0;
}
