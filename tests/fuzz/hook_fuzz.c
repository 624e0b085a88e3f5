/* hook_fuzz.c - a hook's file, and after a NUL the name of a mailbox: what is
 * taken makes requests that are well-formed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../hook.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct hook *h, const char *name)
{
	static struct hook_request r;
	struct hook_event e = {
		.user = name, .mailbox = name, .name = HOOK_NEW, .unseen = -1
	};
	struct json_err je;
	size_t i, k;

	if (!hook_build(h, &e, &r))
		return;
	for (i = 0; i < r.n; i++) {
		for (k = 0; k < r.list[i].value_len; k++)
			if ((unsigned char)r.list[i].value[k] < 0x20)
				abort();
	}
	if (h->body != NULL && h->content->escape == HOOK_JSON &&
	    json_parse(
		(const char *)buf_head(&r.body), r.body.len, NULL, 0, &je) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size);
	size_t len = nul != NULL ? (size_t)(nul - data) : size, n;
	char err[ERR_MAX] = "", name[1025];
	struct conf top, c;
	struct hook *h;

	n = size - len > 0 ? size - len - 1 : 0;
	n = n < sizeof(name) ? n : sizeof(name) - 1;
	memcpy(name, data + size - n, n);
	name[n] = '\0';
	conf_init(&top);
	conf_init(&c);
	c.kind = CONF_HOOK;
	c.top = &top;
	if (conf_parse(&c, "f", (const char *)data, len, err) == 0) {
		h = hook_new(&c, "x", err);
		if (h != NULL)
			check(h, name);
		hook_free(h);
	}
	if (err[0] != '\0' &&
	    (strncmp(err, "f:", 2) != 0 || strchr(err, '\n') != NULL))
		abort();
	conf_free(&c);
	conf_free(&top);
	return 0;
}
