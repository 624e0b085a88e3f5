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

uint8_t topic_index(struct store *s, const char *name)
{
	struct topic *t = s->topics;
	uint8_t i, unused = 0;

	for (i = 0; i < TOPICS_MAX; i++) {
		if (t[i].name != NULL && strcmp(t[i].name, name) == 0)
			return i;
		if (i > 0 && i != s->topic && t[i].n == 0 && unused == 0)
			unused = i;
	}
	/* More topics than anybody has: the rest are not remembered. */
	if (unused == 0)
		return 0;
	free(t[unused].name);
	t[unused].name = xstrdup(name);
	return unused;
}

void topic_count(struct store *s, const struct reg *r, int change)
{
	s->topics[r->topic].n += (size_t)change;
}

void topic_use(struct store *s, struct reg *r, uint8_t topic)
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
	return r->topic != s->topic ? s->topics[r->topic].name : NULL;
}

const char *store_topic(const struct store *s, const struct reg *r)
{
	return s->topics[r->topic].name;
}

size_t store_old_topics(const struct store *s)
{
	size_t i, n = 0;

	for (i = 0; i < TOPICS_MAX; i++)
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
		s->topics[0].name = xstrdup(name);
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
	free(s->topics[0].name);
	s->topics[0].name = xstrdup(topic);
	if (s->topic > 0)
		store_each(s, move_to_first, s);
	s->topic = 0;
}

void store_set_topic(struct store *s, const char *topic)
{
	const struct topic *first = &s->topics[0];

	if (*topic == '\0' || strlen(topic) > REG_TOPIC_MAX)
		return;
	s->topic = topic_index(s, topic);
	if (first->name == NULL || (s->topic > 0 && first->n == 0))
		set_first(s, topic);
}

void topic_free_all(struct store *s)
{
	size_t i;

	for (i = 0; i < TOPICS_MAX; i++)
		free(s->topics[i].name);
}
