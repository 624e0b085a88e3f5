/* store/topic.c - the topic in the answer to each device.  Nearly always it is the
 * same for all: that one is in <file>.topic, and only others are in the lines. */
#include "store/int.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "users.h"

static struct topic *add_topic(struct store *s)
{
	struct topic *t;

	s->topics = xrealloc(s->topics, (s->n_topics + 1) * sizeof(*t));
	t = &s->topics[s->n_topics++];
	*t = (struct topic){ .brand = BRAND_BY_USER };
	return t;
}

void topic_init(struct store *s)
{
	add_topic(s);
}

static void set_name(struct store *s, struct topic *t, const char *name)
{
	free(t->name);
	t->name = xstrdup(name);
	t->hash = table_hash(&s->table, name);
}

uint16_t topic_index(struct store *s, const char *name)
{
	uint32_t hash = table_hash(&s->table, name);
	const struct topic *t;
	size_t i, unused = 0;

	for (i = 0; i < s->n_topics; i++) {
		t = &s->topics[i];
		if (t->name != NULL && t->hash == hash &&
		    strcmp(t->name, name) == 0)
			return (uint16_t)i;
		if (i > 0 && !t->current && t->n == 0 && unused == 0)
			unused = i;
	}
	if (unused == 0 && s->n_topics < TOPICS_MAX) {
		unused = s->n_topics;
		add_topic(s);
	}
	/* More topics than anybody has: the rest are not remembered. */
	if (unused == 0)
		return 0;
	set_name(s, &s->topics[unused], name);
	return (uint16_t)unused;
}

/* --- brands --- */

static size_t brand_of_user(const struct store *s, const struct reg *r)
{
	return s->brands != NULL ? users_find(s->users, reg_user(r)) : 0;
}

static uint16_t wanted_topic(const struct store *s, size_t brand)
{
	return brand > 0 ? s->brands[brand].topic : s->topic;
}

static bool is_old(const struct store *s, const struct reg *r, size_t brand)
{
	uint16_t topic = wanted_topic(s, brand);

	return !(r->flags & REG_OTHER) && r->topic != topic &&
	       topic != TOPIC_NONE && s->topics[r->topic].name != NULL;
}

static void brand_count(struct store *s, const struct reg *r, int change)
{
	size_t brand = brand_of_user(s, r);

	s->brands[brand].n += (uint32_t)change;
	if (is_old(s, r, brand))
		s->brands[brand].old += (uint32_t)change;
}

static int count_one(void *arg, struct reg *r)
{
	brand_count(arg, r, 1);
	return 0;
}

/* The topics or the brands have changed.  Of several that have a topic, the
 * user's pattern decides. */
static void count_again(struct store *s)
{
	struct topic *t;
	size_t i;

	for (i = 0; i < s->n_topics; i++) {
		s->topics[i].brand = BRAND_BY_USER;
		s->topics[i].current = false;
	}
	for (i = 0; i < s->n_brands; i++) {
		s->brands[i].n = s->brands[i].old = 0;
		if (i == 0 ? !s->has_topic : s->brands[i].topic == TOPIC_NONE)
			continue;
		t = &s->topics[wanted_topic(s, i)];
		t->brand = t->current ? BRAND_BY_USER : (uint16_t)i;
		t->current = true;
	}
	s->topics[s->topic].current = true;
	if (s->brands != NULL)
		store_each(s, count_one, s);
}

void store_set_brands(struct store *s, const struct users *users,
    const char *const *topics, size_t n)
{
	size_t i;

	free(s->brands);
	s->brands = NULL;
	s->users = users;
	s->n_brands = n > 0 ? n + 1 : 0;
	if (n > 0)
		s->brands = xcalloc(n + 1, sizeof(*s->brands));
	for (i = 0; i < n; i++) {
		s->brands[i + 1].topic = TOPIC_NONE;
		if (*topics[i] == '\0' || strlen(topics[i]) > REG_TOPIC_MAX)
			continue;
		s->brands[i + 1].topic = topic_index(s, topics[i]);
		/* So that the next one does not take its place. */
		s->topics[s->brands[i + 1].topic].current = true;
	}
	count_again(s);
}

size_t store_brand_of(const struct store *s, const struct reg *r)
{
	uint16_t brand;

	if (s->brands == NULL)
		return 0;
	if (r->flags & REG_OTHER)
		return brand_of_user(s, r);
	brand = s->topics[r->topic].brand;
	return brand != BRAND_BY_USER ? brand : brand_of_user(s, r);
}

size_t store_brand_count(const struct store *s, size_t brand, size_t *old_r)
{
	*old_r = s->brands[brand].old;
	return s->brands[brand].n;
}

/* --- one registration's --- */

void topic_count(struct store *s, const struct reg *r, int change)
{
	if (r->flags & REG_OTHER)
		s->kinds[reg_kind(r)] += (size_t)change;
	else
		s->topics[r->topic].n += (uint32_t)change;
	if (s->brands != NULL)
		brand_count(s, r, change);
}

void topic_use(struct store *s, struct reg *r, uint16_t topic)
{
	topic_count(s, r, -1);
	r->topic = topic;
	topic_count(s, r, 1);
}

const char *topic_in_line(const struct store *s, const struct reg *r)
{
	return r->topic > 0 ? s->topics[r->topic].name : NULL;
}

const char *store_old_topic(const struct store *s, const struct reg *r)
{
	return is_old(s, r, brand_of_user(s, r)) ? s->topics[r->topic].name
						 : NULL;
}

const char *store_topic(const struct store *s, const struct reg *r)
{
	return s->topics[r->topic].name;
}

size_t store_old_topics(const struct store *s)
{
	size_t i, n = 0;

	if (s->brands != NULL) {
		for (i = 0; i < s->n_brands; i++)
			n += s->brands[i].old;
		return n;
	}
	for (i = 0; i < s->n_topics; i++)
		if (i != s->topic && s->topics[i].name != NULL)
			n += s->topics[i].n;
	return n;
}

/* --- <file>.topic --- */

/* False if that fails: then the lines name it. */
static bool write_topic(const struct store *s, const char *name)
{
	char path[PATH_MAX], temp[PATH_MAX];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "%s.topic", s->path);
	snprintf(temp, sizeof(temp), "%s.new", s->path);
	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	disk_give_like(fd, s->fd);
	ok = disk_write(fd, name, strlen(name)) == 0 &&
	     disk_write(fd, "\n", 1) == 0 && fsync(fd) == 0;
	close(fd);
	ok = ok && rename(temp, path) == 0 && disk_sync_dir(s->path) == 0;
	if (!ok)
		unlink(temp);
	return ok;
}

void topic_read(struct store *s)
{
	char path[PATH_MAX], name[REG_TOPIC_MAX + 2];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s.topic", s->path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	n = read(fd, name, sizeof(name) - 1);
	close(fd);
	if (n < 2 || name[n - 1] != '\n')
		return;
	name[n - 1] = '\0';
	if (strlen(name) == (size_t)n - 1 && reg_text_ok(name, REG_TOPIC_MAX))
		set_name(s, &s->topics[0], name);
}

static int move_to_first(void *arg, struct reg *r)
{
	struct store *s = arg;

	if (r->topic == s->topic)
		topic_use(s, r, 0);
	return 0;
}

/* From now on lines need not name it: no valid line relies on the old one. */
static void set_first(struct store *s, const char *topic)
{
	if (s->path == NULL || !write_topic(s, topic))
		return;
	set_name(s, &s->topics[0], topic);
	if (s->topic > 0)
		store_each(s, move_to_first, s);
	s->topic = 0;
}

void store_set_topic(struct store *s, const char *topic)
{
	const struct topic *first;

	s->has_topic = *topic != '\0' && strlen(topic) <= REG_TOPIC_MAX;
	if (s->has_topic) {
		s->topic = topic_index(s, topic);
		first = &s->topics[0]; /* it may have moved */
		if (first->name == NULL || (s->topic > 0 && first->n == 0))
			set_first(s, topic);
	}
	count_again(s);
}

void topic_free_all(struct store *s)
{
	size_t i;

	for (i = 0; i < s->n_topics; i++)
		free(s->topics[i].name);
	free(s->topics);
	free(s->brands);
}
