/* answer_fuzz.c - the body of an error answer, as any server may send it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct send_answer an = { .outcome = SEND_ANSWERED };
	unsigned char *body = malloc(size ? size : 1); /* ends where it ends */

	memcpy(body, data, size);
	an.body = body;
	an.body_len = size;
	apns_read_answer(&an);
	assert(memchr(an.reason, '\0', sizeof(an.reason)) != NULL);
	assert(apns_reason_words(an.reason) != NULL);
	free(body);
	return 0;
}
