/* json_fuzz.c - tokens lie within the text and each other; strings decode. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "json.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_tok toks[512];
	struct json_err err;
	struct json j = { (const char *)data, size, toks };
	int n = json_parse(j.text, size, toks, 512, &err), i;
	int checked = json_parse(j.text, size, NULL, 0, &err);
	char out[64];
	int64_t v;

	assert(n < 0 || n == checked);
	for (i = 0; i < n; i++) {
		assert(toks[i].start <= toks[i].end && toks[i].end <= size);
		assert(toks[i].next > (uint32_t)i);
		assert(toks[i].next <= (uint32_t)n);
		assert(text_utf8_ok(
		    j.text + toks[i].start, toks[i].end - toks[i].start));
		json_string(&j, &toks[i], out, sizeof(out));
		json_int(&j, &toks[i], &v);
		json_get(&j, &toks[i], "user");
	}
	return 0;
}
