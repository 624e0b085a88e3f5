/* io/no-guard.c - when no address comes from a user. */
#include "io.h"

#include "features.h"

struct io_guard {
	char none;
};
static struct io_guard nobodys;

struct io_guard *io_guard_new(const char *allow, char err[ERR_MAX])
{
	(void)allow;
	(void)err;
	return &nobodys;
}

int io_guard_set(struct io_guard *g, const char *allow, char err[ERR_MAX])
{
	(void)g;
	(void)allow;
	(void)err;
	return 0;
}

void io_guard_free(struct io_guard *g)
{
	(void)g;
}

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

int io_guard_check_host(
    const struct io_guard *g, const char *host, int port, char err[ERR_MAX])
{
	(void)g;
	(void)host;
	(void)port;
	err_set(err, "%s", features_lack("webpush"));
	return -1;
}

struct io_guard_lookup *io_guard_lookup(struct loop *l,
    const struct io_guard *g, const char *host, int port, io_guard_cb *cb,
    void *arg)
{
	(void)l;
	(void)g;
	(void)host;
	(void)port;
	(void)cb;
	(void)arg;
	return NULL;
}

void io_guard_cancel(struct io_guard_lookup *lo)
{
	(void)lo;
}
