/* conf_fuzz.c - the configuration file: read or refused with a place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ERR_MAX] = "";
	struct conf c;

	conf_init(&c);
	if (conf_parse(&c, "f", (const char *)data, size, err) < 0) {
		if (strncmp(err, "f:", 2) != 0 || strchr(err, '\n') != NULL)
			abort();
	} else if (conf_check(&c, err) < 0 && strncmp(err, "f:", 2) != 0) {
		abort();
	}
	conf_free(&c);
	return 0;
}
