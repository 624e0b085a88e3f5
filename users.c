/* users.c - patterns of users' names. */
#include "users.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

struct pattern {
	const char *text; /* without the * of *@domain; borrowed */
	unsigned len;
	unsigned number;
};

struct list {
	struct pattern *p;
	size_t n, cap;
};

struct users {
	struct list exact, domains; /* sorted by text */
	struct list others;	    /* by number */
};

/* --- sorted lists --- */

static int compare(const struct pattern *p, const char *text, size_t len)
{
	size_t n = p->len < len ? p->len : len;
	int c = strncasecmp(p->text, text, n);

	return c != 0 ? c : (p->len > len) - (p->len < len);
}

/* Where it is, or would be. */
static size_t place(const struct list *l, const char *text, size_t len)
{
	size_t low = 0, high = l->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (compare(&l->p[mid], text, len) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Its number, or 0. */
static size_t look_up(const struct list *l, const char *text, size_t len)
{
	size_t i = place(l, text, len);

	return i < l->n && compare(&l->p[i], text, len) == 0 ? l->p[i].number
							     : 0;
}

static void insert(struct list *l, size_t at, struct pattern p)
{
	if (l->n == l->cap) {
		l->cap += l->cap / 2 + 16;
		l->p = xrealloc(l->p, l->cap * sizeof(*l->p));
	}
	memmove(l->p + at + 1, l->p + at, (l->n - at) * sizeof(*l->p));
	l->p[at] = p;
	l->n++;
}

/* --- matching --- */

/* The next character of UTF-8. */
static const char *next(const char *s)
{
	do
		s++;
	while ((*s & 0xc0) == 0x80);
	return s;
}

/* Only the last * is ever tried again, so the time is at most the product of both
 * lengths. */
static bool matches(const struct pattern *want, const char *name)
{
	const char *p = want->text, *end = p + want->len;
	const char *star = NULL, *from = NULL;

	while (*name != '\0') {
		if (p < end && *p == '*') {
			star = ++p;
			from = name;
		} else if (p < end && *p == '?') {
			p++;
			name = next(name);
		} else if (p < end && text_lower(*p) == text_lower(*name)) {
			p++;
			name++;
		} else if (star != NULL) {
			p = star;
			name = from = next(from);
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

/* --- the owner's --- */

struct users *users_new(void)
{
	return xcalloc(1, sizeof(struct users));
}

void users_free(struct users *u)
{
	if (u == NULL)
		return;
	free(u->exact.p);
	free(u->domains.p);
	free(u->others.p);
	free(u);
}

/* How many characters the text has that mean others. */
static size_t wild(const char *text, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		n += text[i] == '*' || text[i] == '?';
	return n;
}

static bool is_domain(const char *text, size_t len)
{
	return len > 2 && text[0] == '*' && text[1] == '@' &&
	       wild(text, len) == 1 && memchr(text + 2, '@', len - 2) == NULL;
}

const char *users_add(struct users *u, const char *patterns, size_t number)
{
	const char *text, *twice = NULL;
	struct pattern p = { .number = (unsigned)number };
	struct list *l;
	size_t at, len;

	for (text = patterns; *text != '\0'; text += len) {
		text += strspn(text, " \t");
		len = strcspn(text, " \t");
		if (len == 0)
			break;
		l = is_domain(text, len)   ? &u->domains
		    : wild(text, len) == 0 ? &u->exact
					   : &u->others;
		p.text = text + (l == &u->domains);
		p.len = (unsigned)(len - (l == &u->domains));
		at = l == &u->others ? l->n : place(l, p.text, p.len);
		if (l == &u->others || look_up(l, p.text, p.len) == 0)
			insert(l, at, p);
		else if (l->p[at].number != number)
			twice = text;
	}
	return twice;
}

size_t users_find(const struct users *u, const char *user)
{
	const char *domain;
	size_t best, n, i;

	if (u == NULL)
		return 0;
	best = look_up(&u->exact, user, strlen(user));
	domain = strrchr(user, '@');
	n = domain != NULL ? look_up(&u->domains, domain, strlen(domain)) : 0;
	if (n != 0 && (best == 0 || n < best))
		best = n;
	for (i = 0; i < u->others.n; i++) {
		if (best != 0 && u->others.p[i].number >= best)
			break;
		if (matches(&u->others.p[i], user))
			return u->others.p[i].number;
	}
	return best;
}
