/* users_fuzz.c - a pattern and a user, apart by a NUL: the same verdict as a table
 * of all prefixes gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LEN_MAX 64

static int lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int expected(const char *p, size_t np, const char *u, size_t nu)
{
	static char ok[LEN_MAX + 1][LEN_MAX + 1];
	size_t i, j, k;

	memset(ok, 0, sizeof(ok));
	ok[0][0] = 1;
	for (i = 1; i <= np; i++)
		for (j = 0; j <= nu; j++) {
			if (p[i - 1] == '*')
				ok[i][j] = ok[i - 1][j] || (j && ok[i][j - 1]);
			else if (p[i - 1] != '?')
				ok[i][j] = j && ok[i - 1][j - 1] &&
					   lower(p[i - 1]) == lower(u[j - 1]);
			else if (j > 0 && (j == nu || (u[j] & 0xc0) != 0x80)) {
				for (k = j - 1; (u[k] & 0xc0) == 0x80;)
					k--;
				ok[i][j] = ok[i - 1][k];
			}
		}
	return ok[np][nu];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[2 * LEN_MAX + 2], *user;
	struct users *u;
	size_t np, nu;

	if (size > 2 * LEN_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	np = strlen(text);
	user = text + np + 1;
	nu = strlen(user);
	/* As they get there: patterns without blanks, and UTF-8 only. */
	if (np == 0 || np > LEN_MAX || nu > LEN_MAX ||
	    strpbrk(text, " \t") != NULL || !text_utf8_ok(text, np) ||
	    !text_utf8_ok(user, nu))
		return 0;
	u = users_new();
	users_add(u, text, 1);
	if ((int)users_find(u, user) != expected(text, np, user, nu))
		abort();
	users_free(u);
	return 0;
}
