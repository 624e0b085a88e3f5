/* pem_fuzz.c - a key or certificate file of any bytes: what is found in it can
 * be parsed or refused, and what is found again is the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cred/int.h"
#include "../../tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t len)
{
	char err[ERR_MAX] = "?";
	struct tls_key *key = tls_key_parse(text, len, NULL, err);
	struct tls_cert *cert;

	if (key == NULL && strcmp(err, "?") == 0)
		abort();
	tls_key_free(key);
	strcpy(err, "?");
	cert = tls_cert_parse(text, len, err);
	if (cert == NULL && strcmp(err, "?") == 0)
		abort();
	tls_cert_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *text, *again;
	const char *key;
	size_t len, again_len;
	unsigned holds;

	if (size > 0)
		memcpy(copy, data, size);
	copy[size] = '\0';
	holds = cred_pem_read(copy, size, &text, &len, &key);
	if (*cred_kind_words(holds, false) == '\0' ||
	    *cred_kind_guess(copy, size) == '\0' || key == NULL)
		abort();
	if (text != NULL) {
		if (holds == 0 || text[len] != '\0')
			abort();
		parse(text, len);
		if ((cred_pem_read(text, len, &again, &again_len, &key) &
			~holds) != 0)
			abort();
		free(again);
	}
	free(text);
	free(copy);
	return 0;
}
