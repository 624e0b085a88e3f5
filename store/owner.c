/* store/owner.c - whose mailboxes others watch: a table of owners, in each the
 * registrations.  Only those that watch another owner's mailbox are in it. */
#include "store/int.h"

#include <stdlib.h>
#include <strings.h>

#include "mem.h"

#define OWNERS_FIRST 64 /* a power of two */

/* --- the table --- */

static struct owner **bucket(const struct store *s, uint64_t hash)
{
	return &s->owners[hash & (s->cap_owners - 1)];
}

static void grow(struct store *s)
{
	struct owner **old = s->owners, *o, *next, **b;
	size_t i, n = s->cap_owners;

	s->cap_owners = n ? n * 2 : OWNERS_FIRST;
	s->owners = xcalloc(s->cap_owners, sizeof(*s->owners));
	for (i = 0; i < n; i++)
		for (o = old[i]; o != NULL; o = next) {
			next = o->chain;
			b = bucket(s, o->hash);
			o->chain = *b;
			*b = o;
		}
	free(old);
}

static struct owner *find(
    const struct store *s, const char *name, uint64_t hash)
{
	struct owner *o = *bucket(s, hash);

	while (o != NULL && (o->hash != hash || strcasecmp(o->name, name) != 0))
		o = o->chain;
	return o;
}

static struct owner *get(struct store *s, const char *name)
{
	size_t len = strlen(name);
	uint64_t hash = store_hash_name(s, name, len);
	struct owner *o, **b;

	if (s->n_owners == s->cap_owners)
		grow(s);
	o = find(s, name, hash);
	if (o != NULL)
		return o;
	o = xcalloc(1, sizeof(*o) + len + 1);
	memcpy(o->name, name, len);
	o->hash = hash;
	b = bucket(s, hash);
	o->chain = *b;
	*b = o;
	s->n_owners++;
	return o;
}

static void put_away(struct store *s, struct owner *o)
{
	struct owner **p = bucket(s, o->hash);

	while (*p != o)
		p = &(*p)->chain;
	*p = o->chain;
	free(o);
	if (--s->n_owners > 0)
		return;
	free(s->owners);
	s->owners = NULL;
	s->cap_owners = 0;
}

/* --- watches --- */

/* Mailboxes of one owner mostly come one after the other. */
size_t owner_count(const char *boxes, size_t n)
{
	const char *last = NULL;
	struct box box;
	size_t found = 0;

	for (; n > 0; n--) {
		boxes = box_read(boxes, &box);
		if (box.owner == NULL ||
		    (last != NULL && strcasecmp(box.owner, last) == 0))
			continue;
		last = box.owner;
		found++;
	}
	return found;
}

void owner_watch(
    struct store *s, struct reg *r, struct watches *w, const char *boxes)
{
	const char *last = NULL;
	struct owner *o;
	struct watch *at;
	struct box box;
	size_t i, used = 0;

	for (i = 0; i < r->n_mailboxes; i++) {
		boxes = box_read(boxes, &box);
		if (box.owner == NULL ||
		    (last != NULL && strcasecmp(box.owner, last) == 0))
			continue;
		last = box.owner;
		o = get(s, box.owner);
		/* The newest of a list is ours if we are in it. */
		if (o->first != NULL && o->first->reg == r)
			continue;
		at = &w->w[used++];
		*at = (struct watch){ o->first, &o->first, o, r };
		if (at->next != NULL)
			at->next->at = &at->next;
		o->first = at;
	}
	for (; used < w->n; used++)
		w->w[used].owner = NULL;
}

void owner_unwatch(struct store *s, struct watches *w)
{
	struct watch *at;

	for (at = w->w; at < w->w + w->n && at->owner != NULL; at++) {
		*at->at = at->next;
		if (at->next != NULL)
			at->next->at = at->at;
		if (at->owner->first == NULL)
			put_away(s, at->owner);
	}
}

struct reg *store_watcher(
    struct store *s, const char *owner, const struct watch **cursor)
{
	const struct owner *o;

	if (*cursor != NULL) {
		*cursor = (*cursor)->next;
	} else if (s->n_owners > 0) {
		o = find(s, owner, store_hash_name(s, owner, strlen(owner)));
		*cursor = o != NULL ? o->first : NULL;
	}
	return *cursor != NULL ? (*cursor)->reg : NULL;
}
