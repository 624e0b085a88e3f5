/* p12_fuzz.c - a PKCS#12 file and an encrypted key, of any bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS_MAX 20 /* the input would choose to count for minutes */
#include "../../tls/pbe.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *copy = malloc(size + 1);
	struct tls_cert *cert = NULL;
	struct tls_key *key = NULL;
	char err[ERR_MAX] = "?";
	int ret;

	if (size > 0)
		memcpy(copy, data, size);
	ret = tls_p12_parse(copy, size, "simple", NULL, &cert, &key, err);
	if (ret == 0 ? cert == NULL || key == NULL : strcmp(err, "?") == 0)
		abort();
	tls_cert_free(cert);
	tls_key_free(key);
	free(copy);
	return 0;
}
