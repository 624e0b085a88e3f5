/* api/body.c - decodes the JSON body of a request. */
#include "api/int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

/* A body of 64 KiB can hold some 30,000 tokens; a registration with 1,000
 * mailboxes has 1,012, and 6,014 with canonical ones.  The rest is for members
 * that we do not know. */
#define TOKENS_FIRST 64
#define TOKENS_MAX 8192

int api_body_parse(struct api_request *rq)
{
	const char *text = rq->req->body;
	size_t len = rq->req->body_len;
	struct api *a = rq->api;
	struct json_err jerr;
	int n;

	for (;;) {
		/* without tokens json_parse() would only count them */
		jerr.too_many = true;
		n = a->toks == NULL
			? -1
			: json_parse(text, len, a->toks, a->toks_cap, &jerr);
		if (n >= 0 || !jerr.too_many || a->toks_cap >= TOKENS_MAX)
			break;
		a->toks_cap = a->toks_cap ? a->toks_cap * 2 : TOKENS_FIRST;
		a->toks = xrealloc(a->toks, a->toks_cap * sizeof(*a->toks));
	}
	if (n < 0 && jerr.too_many) {
		err_set(rq->err, "too many values");
		return -1;
	}
	if (n < 0) {
		err_set(rq->err, "malformed JSON: %zu:%zu: %s", jerr.line,
		    jerr.column, jerr.reason);
		return -1;
	}
	rq->j = (struct json){ text, len, a->toks };
	if (a->toks[0].type != JSON_OBJECT) {
		err_set(rq->err, "not a JSON object");
		return -1;
	}
	return 0;
}

static const struct json_tok *get(
    struct api_request *rq, const char *key, enum json_type type)
{
	static const char *const names[] = {
		[JSON_STRING] = "a string",
		[JSON_ARRAY] = "a list",
	};
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, key);

	if (t == NULL)
		err_set(rq->err, "%s is missing", key);
	else if (t->type != type)
		err_set(rq->err, "%s is not %s", key, names[type]);
	else
		return t;
	return NULL;
}

int api_body_string(
    struct api_request *rq, const char *key, char *out, size_t size)
{
	const struct json_tok *t = get(rq, key, JSON_STRING);

	if (t == NULL)
		return -1;
	if (json_string(&rq->j, t, out, size) < 0) {
		err_set(rq->err,
		    "%s is longer than %zu bytes or holds characters that "
		    "cannot be used",
		    key, size - 1);
		return -1;
	}
	return 0;
}

int api_body_optional(struct api_request *rq, const char *key, char *out,
    size_t size, bool *given_r)
{
	out[0] = '\0';
	*given_r = json_get(&rq->j, rq->j.toks, key) != NULL;
	return *given_r ? api_body_string(rq, key, out, size) : 0;
}

int api_body_label(
    struct api_request *rq, const char *key, char *out, size_t size)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, key);
	size_t len = size - 1;
	char *text;

	out[0] = '\0';
	if (t == NULL)
		return 0;
	if (get(rq, key, JSON_STRING) == NULL)
		return -1;
	text = xmalloc(rq->j.len);
	if (json_string(&rq->j, t, text, rq->j.len) > 0) {
		if (strlen(text) > len)
			while (len > 0 && (text[len] & 0xc0) == 0x80)
				len--;
		snprintf(out, len + 1, "%s", text);
		if (!reg_text_ok(out, len))
			out[0] = '\0';
	}
	free(text);
	return 0;
}

int api_body_bool(struct api_request *rq, const char *key, bool *v_r)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, key);

	*v_r = t != NULL && t->type == JSON_TRUE;
	if (t == NULL || t->type == JSON_TRUE || t->type == JSON_FALSE)
		return 0;
	err_set(rq->err, "%s is not true or false", key);
	return -1;
}

int api_body_number(struct api_request *rq, const char *key, int64_t *v_r)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, key);

	*v_r = 0;
	if (t == NULL || (json_int(&rq->j, t, v_r) && *v_r >= 0))
		return 0;
	err_set(rq->err, "%s is not a whole number", key);
	return -1;
}

const char *api_set_mailboxes(struct api *a, const char *first, size_t n)
{
	const char *p = first;
	size_t i;

	assert(n <= REG_MAILBOXES_MAX);
	if (a->mailboxes == NULL || n > a->mailboxes_cap) {
		a->mailboxes_cap = n;
		a->mailboxes =
		    xrealloc(a->mailboxes, n * sizeof(*a->mailboxes));
		a->canonical =
		    xrealloc(a->canonical, n * sizeof(*a->canonical));
	}
	for (i = 0; i < n; i++, p = text_next(p))
		a->mailboxes[i] = p;
	return p;
}

int api_body_mailboxes(struct api_request *rq, const char *key, size_t *n_r)
{
	const struct json_tok *list = get(rq, key, JSON_ARRAY), *t;
	struct api *a = rq->api;
	char name[REG_MAILBOX_MAX + 1];
	size_t i;

	if (list == NULL)
		return -1;
	if (list->size > REG_MAILBOXES_MAX) {
		err_set(rq->err, "%s has more than %d names", key,
		    REG_MAILBOXES_MAX);
		return -1;
	}
	buf_reset(&a->names);
	for (t = list + 1, i = 0; i < list->size; i++) {
		if (t->type != JSON_STRING ||
		    json_string(&rq->j, t, name, sizeof(name)) < 0) {
			err_set(rq->err,
			    "%s: name %zu is not a string or longer than %d "
			    "bytes",
			    key, i + 1, REG_MAILBOX_MAX);
			return -1;
		}
		if (!buf_add(&a->names, name, strlen(name) + 1)) {
			err_set(rq->err, "%s is too long", key);
			return -1;
		}
		t = rq->j.toks + t->next;
	}
	/* Only now: the buffer moves while it grows. */
	api_set_mailboxes(a, (const char *)buf_head(&a->names), list->size);
	*n_r = list->size;
	return 0;
}

/* Appends a member's string to api->names. */
static bool add_name(struct api_request *rq, const struct json_tok *object,
    const char *key, size_t max)
{
	char name[REG_CANONICAL_MAX + 1];
	int len =
	    json_string(&rq->j, json_get(&rq->j, object, key), name, max + 1);

	return len > 0 && buf_add(&rq->api->names, name, (size_t)len + 1);
}

/* Sets the pointers to the n mailboxes and their canonical names, when the buffer
 * does not move any more. */
static void point_at_canonical(struct api *a, size_t n)
{
	const char *p =
	    api_set_mailboxes(a, (const char *)buf_head(&a->names), n);
	struct reg_canonical *c = a->canonical;

	for (; n > 0; n--, c++) {
		c->owner = p;
		c->mailbox = text_next(p);
		p = text_next(c->mailbox);
	}
}

int api_body_canonical(
    struct api_request *rq, const char *key, struct reg_spec *spec)
{
	const struct json_tok *list = json_get(&rq->j, rq->j.toks, key), *t;
	size_t i;

	spec->canonical = NULL;
	if (list == NULL)
		return 0;
	if (list->type != JSON_ARRAY || list->size != spec->n_mailboxes) {
		err_set(rq->err, "%s is not a list as long as Mailboxes", key);
		return -1;
	}
	for (t = list + 1, i = 0; i < list->size; i++) {
		if (t->type != JSON_OBJECT ||
		    !add_name(rq, t, "owner", REG_OWNER_MAX) ||
		    !add_name(rq, t, "mailbox", REG_CANONICAL_MAX)) {
			err_set(rq->err,
			    "%s: item %zu is not an object with owner and "
			    "mailbox "
			    "of at most %d and %d bytes",
			    key, i + 1, REG_OWNER_MAX, REG_CANONICAL_MAX);
			return -1;
		}
		t = rq->j.toks + t->next;
	}
	point_at_canonical(rq->api, spec->n_mailboxes);
	spec->mailboxes = rq->api->mailboxes;
	spec->canonical = rq->api->canonical;
	return 0;
}

int api_body_events(struct api_request *rq, struct push_event *ev_r)
{
	const struct json_tok *list = get(rq, "Events", JSON_ARRAY), *t;
	char name[64];
	size_t i;

	if (list == NULL)
		return -1;
	*ev_r = list->size == 0 ? push_new_mail : push_no_event;
	for (t = list + 1, i = 0; i < list->size; i++) {
		if (t->type != JSON_STRING) {
			err_set(
			    rq->err, "Events: name %zu is not a string", i + 1);
			return -1;
		}
		if (json_string(&rq->j, t, name, sizeof(name)) < 0)
			*name = '\0';
		push_event_add(ev_r, name);
		t = rq->j.toks + t->next;
	}
	return 0;
}

int api_body_count(struct api_request *rq, const char *key, int64_t *n_r)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, key);

	*n_r = -1;
	if (t == NULL || t->type == JSON_NULL ||
	    (json_int(&rq->j, t, n_r) && *n_r >= 0))
		return 0;
	err_set(rq->err, "%s is not a number from 0 on", key);
	*n_r = -1;
	return -1;
}
