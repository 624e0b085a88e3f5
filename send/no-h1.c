/* send/no-h1.c - in a build for Apple only, whose servers speak HTTP/2: nothing of
 * this is ever called. */
#include "send/h1.h"

struct h1 *h1_new(const struct h2_ops *ops, void *arg, size_t body_max)
{
	(void)ops;
	(void)arg;
	(void)body_max;
	return NULL;
}

void h1_free(struct h1 *h)
{
	(void)h;
}

bool h1_is_ready(const struct h1 *h)
{
	(void)h;
	return false;
}

bool h1_is_finished(const struct h1 *h)
{
	(void)h;
	return true;
}

bool h1_request(struct h1 *h, const struct hpack_header *list, size_t n,
    const void *body, size_t len, void *owner)
{
	(void)h;
	(void)list;
	(void)n;
	(void)body;
	(void)len;
	(void)owner;
	return false;
}

int h1_recv(struct h1 *h, unsigned char *data, size_t n)
{
	(void)h;
	(void)data;
	(void)n;
	return -1;
}

struct buf *h1_out(struct h1 *h)
{
	(void)h;
	return NULL;
}

bool h1_end(struct h1 *h)
{
	(void)h;
	return false;
}

bool h1_is_unheard(const struct h1 *h)
{
	(void)h;
	return false;
}

void h1_close(struct h1 *h)
{
	(void)h;
}

const char *h1_error(const struct h1 *h)
{
	(void)h;
	return "";
}
