/* store/owner.c - registrations by the owner of the mailboxes that they watch.
 * Only those that watch another owner's mailbox are in it. */
#include "store/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define OWNERS_FIRST 64 /* a power of two */

/* --- the table --- */

static struct owner **bucket(const struct store *s, uint32_t hash)
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
			next = o->next;
			b = bucket(s, o->hash);
			o->next = *b;
			*b = o;
		}
	free(old);
}

static struct owner *find(
    const struct store *s, const char *name, uint32_t hash)
{
	struct owner *o = *bucket(s, hash);

	while (o != NULL && (o->hash != hash || strcasecmp(o->name, name) != 0))
		o = o->next;
	return o;
}

static struct owner *find_or_add(struct store *s, const char *name)
{
	uint32_t hash = table_hash(&s->table, name);
	size_t len = strlen(name);
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
	o->next = *b;
	*b = o;
	s->n_owners++;
	return o;
}

static void remove_owner(struct store *s, struct owner *o)
{
	struct owner **p = bucket(s, o->hash);

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	free(o);
	if (--s->n_owners > 0)
		return;
	free(s->owners);
	s->owners = NULL;
	s->cap_owners = 0;
}

/* --- watches --- */

void owner_watch(struct store *s, struct reg *r)
{
	const char *p = key_mailboxes(r);
	struct watches *all;
	struct watch *w;
	struct owner *o;
	struct mailbox box;
	size_t i;

	if (!r->has_watches)
		return;
	all = xmalloc(sizeof(*all) + mailboxes_owners(r) * sizeof(*w));
	all->n = 0;
	key_set_watches(r, all);
	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (box.owner == NULL)
			continue;
		o = find_or_add(s, box.owner);
		/* If r is in the list, then it is the first. */
		if (o->first != NULL && o->first->reg == r)
			continue;
		w = &all->w[all->n++];
		*w = (struct watch){ o->first, &o->first, o, r };
		if (w->next != NULL)
			w->next->at = &w->next;
		o->first = w;
	}
}

void owner_unwatch(struct store *s, struct reg *r)
{
	struct watches *all = key_watches(r);
	struct watch *w;
	size_t i;

	if (all == NULL)
		return;
	for (i = 0; i < all->n; i++) {
		w = &all->w[i];
		*w->at = w->next;
		if (w->next != NULL)
			w->next->at = w->at;
		if (w->owner->first == NULL)
			remove_owner(s, w->owner);
	}
	free(all);
	key_set_watches(r, NULL);
}

struct reg *store_watcher(
    struct store *s, const char *owner, const struct watch **cursor)
{
	const struct owner *o;

	if (*cursor != NULL) {
		*cursor = (*cursor)->next;
	} else if (s->n_owners > 0) {
		o = find(s, owner, table_hash(&s->table, owner));
		*cursor = o != NULL ? o->first : NULL;
	}
	return *cursor != NULL ? (*cursor)->reg : NULL;
}
