/* push/notes.c - what pushes of other kinds than Apple's say of each mailbox: its
 * name, the newest event, how many messages are unseen. */
#include "push/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

const struct push_event push_no_event = { .unseen = -1 };
const struct push_event push_new_mail = { true, PUSH_NEW, -1 };
const struct push_event push_other_event = { false, PUSH_OTHER, -1 };

const char *push_event_name(const char *name)
{
	static const char names[] = PUSH_NEW "\0" PUSH_CONFIRM "\0"
					     "MessageAppend\0"
					     "MessageExpunge\0"
					     "MessageRead\0"
					     "MessageTrash\0"
					     "FlagsSet\0"
					     "FlagsClear\0"
					     "MailboxCreate\0"
					     "MailboxDelete\0"
					     "MailboxRename\0"
					     "MailboxSubscribe\0"
					     "MailboxUnsubscribe\0";
	const char *known;

	for (known = names; *known != '\0'; known = text_next(known))
		if (strcasecmp(name, known) == 0)
			return known;
	return PUSH_OTHER;
}

void push_event_add(struct push_event *ev, const char *dovecot)
{
	if (strcasecmp(dovecot, "MessageNew") == 0) {
		ev->now = true;
		ev->name = PUSH_NEW;
	} else if (ev->name == NULL) {
		/* The first two are ours. */
		ev->name = strncasecmp(dovecot, "M", 1) == 0 ||
				   strncasecmp(dovecot, "F", 1) == 0
			       ? push_event_name(dovecot)
			       : PUSH_OTHER;
	}
}

static struct push_noted *noted(const struct push *p)
{
	return p->noted ? (struct push_noted *)(uintptr_t)p : NULL;
}

const struct push_note *push_note(const struct push *p)
{
	return p->noted ? noted(p)->flight : NULL;
}

const struct push_note *push_waiting_note(const struct push *p)
{
	return noted(p)->wait;
}

static void free_all(struct push_note **list)
{
	struct push_note *n;

	while ((n = *list) != NULL) {
		*list = n->next;
		free(n);
	}
}

/* New mail stays new when something else comes after it. */
static void update(
    struct push_note *n, const char *event, int64_t unseen, uint64_t id)
{
	n->id = id;
	if (strcmp(n->event, PUSH_NEW) != 0)
		n->event = event;
	if (unseen >= 0)
		n->unseen = unseen;
}

/* Where that of the mailbox is, or the end. */
static struct push_note **find(struct push_note **list, const char *mailbox)
{
	while (*list != NULL && strcmp((*list)->mailbox, mailbox) != 0)
		list = &(*list)->next;
	return list;
}

void push_notes_add(struct push *p, const char *mailbox, const char *event,
    int64_t unseen, uint64_t id, bool is_first)
{
	struct push_note **at = find(&noted(p)->wait, mailbox), *n = *at;

	if (n != NULL)
		update(n, event, unseen, id);
	if (!is_first) /* or its hash is that of another one */
		return;
	n = xmalloc(sizeof(*n) + strlen(mailbox) + 1);
	n->next = NULL;
	n->id = id;
	n->event = event;
	n->unseen = unseen;
	strcpy(n->mailbox, mailbox);
	*at = n;
}

void push_notes_take(struct push *p, unsigned n)
{
	struct push_noted *np = noted(p);
	struct push_note **at = &np->wait;

	np->flight = np->wait;
	for (; n > 0; n--)
		at = &(*at)->next;
	np->wait = *at;
	*at = NULL;
}

void push_notes_give_back(struct push *p)
{
	struct push_noted *np = noted(p);
	struct push_note **end = &np->flight, **newer, *n;

	for (; *end != NULL; end = &(*end)->next) {
		newer = find(&np->wait, (*end)->mailbox);
		n = *newer;
		if (n == NULL)
			continue;
		update(*end, n->event, n->unseen, n->id);
		*newer = n->next;
		free(n);
	}
	*end = np->wait;
	np->wait = np->flight;
	np->flight = NULL;
}

void push_notes_clear_flight(struct push *p)
{
	free_all(&noted(p)->flight);
}

void push_notes_clear(struct push *p)
{
	free_all(&noted(p)->wait);
}

void push_notes_prune(struct push *p)
{
	struct push_note **at = &noted(p)->wait, *n;
	unsigned char hash[HASH_LEN];

	while ((n = *at) != NULL) {
		push_hash_utf8(n->mailbox, hash);
		if (push_hashes_has(&p->wait, hash)) {
			at = &n->next;
			continue;
		}
		*at = n->next;
		free(n);
	}
}
