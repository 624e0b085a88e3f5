/* store/mailbox.c - the mailboxes of a registration, packed into bytes; which
 * of them a delivery is about. */
#include "store/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

/* Each is its name as the device spelled it, with a NUL; before that, if it is
 * not the user's own of that name, this byte, the owner (empty: the user) and the
 * canonical name, both with a NUL. */
#define CANONICAL '\1'
/* The name INBOX, which nearly every device has. */
#define INBOX '\2'

static const char *shorten(const char *name)
{
	static const char inbox[] = { INBOX, '\0' };

	return strcmp(name, "INBOX") == 0 ? inbox : name;
}

const char *mailbox_unpack(const char *p, struct mailbox *b)
{
	b->owner = b->canonical = NULL;
	if (*p == CANONICAL) {
		b->owner = *++p != '\0' ? p : NULL;
		p += strlen(p) + 1;
		b->canonical = p;
		p += strlen(p) + 1;
	}
	b->name = *p == INBOX ? "INBOX" : p;
	return p + strlen(p) + 1;
}

/* The same mailbox: INBOX in any case, all else exactly. */
static bool same_name(const char *a, const char *b)
{
	return strcmp(a, b) == 0 ||
	       (strcasecmp(a, "INBOX") == 0 && strcasecmp(b, "INBOX") == 0);
}

/* Whether the canonical name of mailbox i says more than its name does; then *owner_r
 * is "" for the user's own. */
static bool has_canonical(
    const struct reg_spec *spec, size_t i, const char **owner_r)
{
	const struct reg_canonical *c = spec->canonical;
	const char *name = spec->mailboxes[i];

	if (c == NULL || c[i].mailbox == NULL)
		return false;
	*owner_r = c[i].owner;
	if (*owner_r == NULL || strcasecmp(*owner_r, spec->user) == 0)
		*owner_r = "";
	/* An '&' may be a plain one, or begin modified UTF-7. */
	return **owner_r != '\0' || !same_name(c[i].mailbox, name) ||
	       strchr(name, '&') != NULL;
}

char *mailboxes_pack(char *p, const struct reg_spec *spec)
{
	const char *owner;
	size_t i;

	for (i = 0; i < spec->n_mailboxes; i++) {
		if (has_canonical(spec, i, &owner)) {
			*p++ = CANONICAL;
			p = stpcpy(p, owner) + 1;
			p = stpcpy(p, spec->canonical[i].mailbox) + 1;
		}
		p = stpcpy(p, shorten(spec->mailboxes[i])) + 1;
	}
	return p;
}

size_t mailboxes_size(const struct reg_spec *spec)
{
	const char *owner;
	size_t i, len = 0;

	for (i = 0; i < spec->n_mailboxes; i++) {
		len += strlen(shorten(spec->mailboxes[i])) + 1;
		if (has_canonical(spec, i, &owner))
			len += 1 + strlen(owner) + 1 +
			       strlen(spec->canonical[i].mailbox) + 1;
	}
	return len;
}

bool mailboxes_are_watched(const struct reg_spec *spec)
{
	const char *owner;
	size_t i;

	for (i = 0; i < spec->n_mailboxes; i++)
		if (has_canonical(spec, i, &owner) && *owner != '\0')
			return true;
	return false;
}

size_t mailboxes_len(const struct reg *r)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;
	size_t i;

	for (i = 0; i < r->n_mailboxes; i++)
		p = mailbox_unpack(p, &box);
	return (size_t)(p - key_mailboxes(r));
}

size_t mailboxes_len_all(const struct reg *r)
{
	size_t len = mailboxes_len(r);

	if (r->flags & REG_OTHER)
		len += strlen(key_mailboxes(r) + len + 1) + 2;
	return len;
}

size_t mailboxes_owners(const struct reg *r)
{
	const char *p = key_mailboxes(r), *last = NULL;
	struct mailbox box;
	size_t i, n = 0;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (box.owner != NULL &&
		    (last == NULL || strcasecmp(box.owner, last) != 0)) {
			last = box.owner;
			n++;
		}
	}
	return n;
}

/* --- comparing --- */

static const char *fold_inbox(const char *name)
{
	return strcasecmp(name, "INBOX") == 0 ? "INBOX" : name;
}

static int compare_names(const char *a, const char *b)
{
	return strcmp(fold_inbox(a), fold_inbox(b));
}

static int compare(const void *a, const void *b)
{
	struct mailbox x, y;
	int c;

	mailbox_unpack(*(const char *const *)a, &x);
	mailbox_unpack(*(const char *const *)b, &y);
	c = compare_names(x.name, y.name);
	if (c == 0)
		c = strcasecmp(x.owner != NULL ? x.owner : "",
		    y.owner != NULL ? y.owner : "");
	if (c == 0)
		c = compare_names(x.canonical != NULL ? x.canonical : "",
		    y.canonical != NULL ? y.canonical : "");
	return c;
}

/* Sorted, each once; returns how many. */
static size_t sort(const struct reg *r, const char **out)
{
	const char *p = key_mailboxes(r);
	size_t i, n = r->n_mailboxes, kept = 0;
	struct mailbox box;

	for (i = 0; i < n; i++) {
		out[i] = p;
		p = mailbox_unpack(p, &box);
	}
	if (n > 0)
		qsort(out, n, sizeof(*out), compare);
	for (i = 0; i < n; i++)
		if (kept == 0 || compare(&out[kept - 1], &out[i]) != 0)
			out[kept++] = out[i];
	return kept;
}

bool mailboxes_same(const struct reg *a, const struct reg *b)
{
	size_t len = mailboxes_len(a);

	return a->n_mailboxes == b->n_mailboxes && len == mailboxes_len(b) &&
	       memcmp(key_mailboxes(a), key_mailboxes(b), len) == 0;
}

bool mailboxes_same_set(const struct reg *a, const struct reg *b)
{
	const char **x = xmalloc(2 * REG_MAILBOXES_MAX * sizeof(*x));
	const char **y = x + REG_MAILBOXES_MAX;
	size_t n = sort(a, x), i;
	bool same = n == sort(b, y);

	for (i = 0; same && i < n; i++)
		same = compare(&x[i], &y[i]) == 0;
	free(x);
	return same;
}

/* --- matching --- */

static bool decodes_to(const char *spelled, const char *name)
{
	char utf8[REG_UTF8_MAX];
	int n;

	if (strchr(spelled, '&') == NULL)
		return false;
	n = text_utf7_read(spelled, utf8, sizeof(utf8));
	return n >= 0 && (size_t)n == strlen(name) &&
	       memcmp(utf8, name, (size_t)n) == 0;
}

static bool is_of(const struct mailbox *b, const char *owner)
{
	if (b->owner == NULL || owner == NULL)
		return b->owner == owner;
	return strcasecmp(b->owner, owner) == 0;
}

int reg_match_next(
    const struct reg *r, const char *owner, const char *name, int after)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;
	int i;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (i <= after || !is_of(&box, owner))
			continue;
		if (box.canonical != NULL ? same_name(box.canonical, name)
					  : same_name(box.name, name) ||
						decodes_to(box.name, name))
			return i;
	}
	return -1;
}

/* Prefers a name that is equal as it is to one that is equal when decoded. */
int reg_match(const struct reg *r, const char *name)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;
	int i;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (box.owner == NULL &&
		    same_name(
			box.canonical != NULL ? box.canonical : box.name, name))
			return i;
	}
	return reg_match_next(r, NULL, name, -1);
}

int reg_find_mailbox(const struct reg *r, const char *name)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;
	int i;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (same_name(box.name, name))
			return i;
	}
	return -1;
}

const char *reg_mailbox(const struct reg *r, size_t i)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;

	do
		p = mailbox_unpack(p, &box);
	while (i-- > 0);
	return box.name;
}

const char *reg_next_mailbox(const struct reg *r, const char **at)
{
	struct mailbox box;

	*at = mailbox_unpack(*at != NULL ? *at : key_mailboxes(r), &box);
	return box.name;
}
