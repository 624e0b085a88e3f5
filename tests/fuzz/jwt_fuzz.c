/* jwt_fuzz.c - any bytes as a value with another node's JWT: what is taken is what
 * our key has signed (here: a signature of zeros). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW_S 1800000100 /* that of the seeds */

#define time(p) ((void)(p), (time_t)NOW_S)
#define tls_check_es256 check_zeros
#include "cred/jwt.c"
#undef start
#define start jwt_start
#define put jwt_put
#include "shared/jwt.c"

#define ZEROS                                                                  \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"     \
	"AAAAAAAAAAAAAAAAAAAAAA"

bool check_zeros(const struct tls_key *k, const void *data, size_t len,
    const unsigned char sig[64])
{
	size_t i;

	(void)k;
	(void)data;
	(void)len;
	for (i = 0; i < 64; i++)
		if (sig[i] != 0)
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cred c = { .kind = CRED_TOKEN_KEY,
		.key_id = "ABCDE12345",
		.team_id = "TEAM567890" };
	struct shared_jwt j = { .cred = &c };
	struct shared s = { .jwts = &j };
	char *text = malloc(size);
	size_t n;

	memcpy(text, data, size);
	c.bearer[0] = '\0';
	jwt_hear(&s, text, size);
	n = strlen(c.bearer);
	if (n > 0 && (n < 100 || strcmp(c.bearer + n - 86, ZEROS) != 0))
		abort();
	free(text);
	return 0;
}
