/* fcm_fuzz.c - any answer of Google's has a short reason, and a message with any
 * names is JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fcm.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 404,
		.body = data,
		.body_len = size };
	struct buf b = BUF_INIT(FCM_MESSAGE_MAX);
	char *copy = malloc(size + 1);
	const struct fcm_message m = { copy, copy, copy, "new", true, 1 };
	struct json j;

	fcm_read_answer(&an);
	if (an.reason[0] == '\0' ||
	    memchr(an.reason, '\0', sizeof(an.reason)) == NULL)
		abort();
	memcpy(copy, data, size);
	copy[size] = '\0';
	fcm_write_message(&b, &m);
	if (!b.failed && !json_load((char *)buf_head(&b), b.len, &j))
		abort();
	if (!b.failed)
		json_free(&j);
	buf_free(&b);
	free(copy);
	return 0;
}
