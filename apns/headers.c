/* apns/headers.c - the headers of a push. */
#include "apns/headers.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "conf.h"
#include "cred.h"

#define HTTPS_PORT 443 /* not named in :authority */

static struct hpack_header *add(struct apns_headers *h, const char *name,
    const char *value, enum hpack_index index)
{
	struct hpack_header *header = &h->list[h->n++];

	assert(h->n <= APNS_N_HEADERS);
	header->name = name;
	header->name_len = strlen(name);
	header->value = value;
	header->value_len = strlen(value);
	header->index = index;
	return header;
}

void apns_headers_build(struct apns_headers *h, const struct conf *conf,
    struct cred *cred, const char *host, int port)
{
	bool ip6 = strchr(host, ':') != NULL && host[0] != '[';

	memset(h, 0, sizeof(*h));
	h->conf = conf;
	h->cred = cred;
	h->expires_s = -1;
	memcpy(h->path_text, APNS_PATH_PREFIX, sizeof(APNS_PATH_PREFIX));
	snprintf(h->authority_text, sizeof(h->authority_text),
	    port == HTTPS_PORT ? "%s%s%s" : "%s%s%s:%d", ip6 ? "[" : "", host,
	    ip6 ? "]" : "", port);
	add(h, ":method", "POST", HPACK_INDEX);
	add(h, ":scheme", "https", HPACK_INDEX);
	h->path = add(h, ":path", h->path_text, HPACK_TRY_INDEX);
	add(h, ":authority", h->authority_text, HPACK_INDEX);
	if (cred_kind(cred) == CRED_TOKEN_KEY)
		h->auth = add(h, "authorization", "", HPACK_INDEX);
	add(h, "apns-topic", cred_topic(cred), HPACK_INDEX);
	add(h, "apns-push-type", conf->push_type, HPACK_INDEX);
	/* Some proxies want it; nearly all pushes name one mailbox. */
	h->length = add(h, "content-length", h->length_text, HPACK_TRY_INDEX);
	if (conf->push_priority != 0) {
		snprintf(h->priority_text, sizeof(h->priority_text), "%d",
		    conf->push_priority);
		add(h, "apns-priority", h->priority_text, HPACK_INDEX);
	}
	/* Another value every second.  It is the last one, so that it can be
	 * left out. */
	h->expiration =
	    add(h, "apns-expiration", h->expiration_text, HPACK_INDEX_NAME);
}

static void set_number(struct hpack_header *header, char text[24], int64_t n)
{
	header->value_len = (size_t)snprintf(text, 24, "%lld", (long long)n);
}

/* While the clock is not set the date would be in the past; without the header
 * Apple keeps the push as long as it likes. */
static bool has_date(const struct apns_headers *h, int64_t now_s)
{
	return now_s >= CLOCK_MIN_S || h->conf->push_expiration_s == 0;
}

size_t apns_headers_fill(struct apns_headers *h, const char *token, size_t len,
    bool with_expiration, char err[ERR_MAX])
{
	int64_t now_s = (int64_t)time(NULL), expires_s;
	size_t n = strlen(token);

	if (h->auth != NULL) {
		h->auth->value = cred_bearer(h->cred, now_s, err);
		if (h->auth->value == NULL)
			return 0;
		h->auth->value_len = strlen(h->auth->value);
	}
	assert(n <= APNS_TOKEN_MAX);
	memcpy(h->path_text + sizeof(APNS_PATH_PREFIX) - 1, token, n);
	h->path->value_len = sizeof(APNS_PATH_PREFIX) - 1 + n;
	if (len != h->body_len) {
		h->body_len = len;
		set_number(h->length, h->length_text, (int64_t)len);
	}
	/* Apple reads 0 as "now or never". */
	expires_s = h->conf->push_expiration_s == 0
			? 0
			: now_s + h->conf->push_expiration_s;
	if (expires_s != h->expires_s) {
		h->expires_s = expires_s;
		set_number(h->expiration, h->expiration_text, expires_s);
	}
	return h->n - !(with_expiration && has_date(h, now_s));
}
