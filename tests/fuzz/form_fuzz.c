/* form_fuzz.c - any bytes as a form, for fields of several sizes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { "key", "do", "user", "token" };
	char *text = malloc(size + 1), *out;
	size_t i, room;
	int n;

	memcpy(text, data, size);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		room = 1 + i * 100;
		out = malloc(room);
		n = form_get(text, size, keys[i], out, room);
		if (n < FORM_BAD || n >= (int)room ||
		    strlen(out) != (n < 0 ? 0 : (size_t)n))
			abort();
		free(out);
	}
	free(text);
	return 0;
}
