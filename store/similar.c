/* store/similar.c - users whose names are like one that has no device: with a
 * domain or without, of another domain, misspelled. */
#include "store/int.h"

#include <string.h>
#include <strings.h>

#include "text.h"

const char *store_local_part(const char *name, size_t *len_r)
{
	const char *slash = strrchr(name, '\\');

	if (slash != NULL && slash[1] != '\0')
		name = slash + 1;
	*len_r = strcspn(name, "@%+");
	return name;
}

static size_t typos_max(size_t len)
{
	return len < 3 ? 0 : len < 8 ? 1 : 2;
}

/* The distance, or more than 1,000 if they are not alike: first by the name before
 * the domain, then by the domain, which one of them may lack. */
#define UNLIKE 1000

static size_t difference(const char *a, const char *b)
{
	size_t a_len, b_len, d;
	const char *x = store_local_part(a, &a_len),
		   *y = store_local_part(b, &b_len);

	d = text_distance(x, a_len, y, b_len);
	if (d <= typos_max(a_len) && b_len > 0) {
		d *= 4;
		if (strcasecmp(x + a_len, y + b_len) != 0)
			d += x[a_len] == '\0' || y[b_len] == '\0' ? 1 : 2;
		return d;
	}
	d = text_distance(a, strlen(a), b, strlen(b));
	return d <= typos_max(strlen(a)) ? 4 * d : UNLIKE;
}

struct search {
	const char *user;
	const char **names; /* best first */
	size_t differences[STORE_SIMILAR_MAX];
	size_t n;
};

static int compare(void *arg, struct reg *r)
{
	struct search *q = arg;
	const char *name = reg_user(r);
	size_t d, i;

	/* A user's other devices follow each other. */
	for (i = 0; i < q->n; i++)
		if (strcasecmp(q->names[i], name) == 0)
			return 0;
	d = difference(q->user, name);
	if (d >= UNLIKE ||
	    (q->n == STORE_SIMILAR_MAX && d >= q->differences[q->n - 1]))
		return 0;
	if (q->n < STORE_SIMILAR_MAX)
		q->n++;
	for (i = q->n - 1; i > 0 && q->differences[i - 1] > d; i--) {
		q->differences[i] = q->differences[i - 1];
		q->names[i] = q->names[i - 1];
	}
	q->differences[i] = d;
	q->names[i] = name;
	return 0;
}

size_t store_similar(
    struct store *s, const char *user, const char *names_r[STORE_SIMILAR_MAX])
{
	struct search q = { .user = user, .names = names_r };

	store_each(s, compare, &q);
	return q.n;
}

struct namesake {
	const char *local;
	size_t len;
	const char *found;
};

static int is_namesake(void *arg, struct reg *r)
{
	struct namesake *q = arg;
	size_t len;
	const char *local = store_local_part(reg_user(r), &len);

	if (len != q->len || strncasecmp(local, q->local, len) != 0)
		return 0;
	q->found = reg_user(r);
	return 1;
}

const char *store_namesake(struct store *s, const char *user, bool search)
{
	struct namesake q = { 0 };
	char plain[REG_USER_MAX + 1];
	struct reg *r;

	q.local = store_local_part(user, &q.len);
	if (q.len == 0 || q.len >= sizeof(plain))
		return NULL;
	memcpy(plain, q.local, q.len);
	plain[q.len] = '\0';
	r = store_first(s, plain);
	if (r != NULL)
		return reg_user(r);
	if (search)
		store_each(s, is_namesake, &q);
	return q.found;
}
