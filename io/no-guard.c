/* io/no-guard.c - when no address comes from a user. */
#include "io.h"

bool io_guard_lists(const struct io_guard *g, const char *host, int port)
{
	(void)g;
	(void)host;
	(void)port;
	return false;
}

const char *io_guard_refuses(
    const struct io_guard *g, const char *host, const struct io_addr *addr)
{
	(void)g;
	(void)host;
	(void)addr;
	return NULL;
}

void io_guard_explain(const char *host, const char *what, char err[ERR_MAX])
{
	(void)host;
	(void)what;
	(void)err;
}
