/* cli.c - the command line. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "conf.h"
#include "mem.h"
#include "text.h"

enum kind {
	TAKES_NONE,  /* sets a bool, */
	TAKES_COUNT, /* adds to an int: Go's =true and =false may follow */
	TAKES_VALUE,
	TAKES_MAILBOX, /* adds one */
	/* of the first generation, without effect: see ignored */
	IGNORED_NONE,
	IGNORED_VALUE,
};

enum {
	IGNORED_FEEDBACK,
	IGNORED_REDIS,
	IGNORED_GATEWAY,
	N_IGNORED,
};

static const char *const ignored[] = {
	[IGNORED_FEEDBACK] = "feedbackInterval: without effect: Apple's "
			     "answers now say which phones are gone",
	[IGNORED_REDIS] = "redis...: without effect: each xapsd hears from "
			  "Apple which phones are gone",
	[IGNORED_GATEWAY] =
	    "apns-host, apns-port: without effect: Apple closed "
	    "that gateway, apnsHost and apnsPort are for today's",
};

static const struct option {
	char name[17];
	unsigned char kind;    /* enum kind */
	unsigned short offset; /* in struct cli, or the place in ignored */
} options[] = {
	{ "c", TAKES_VALUE, offsetof(struct cli, conf_path) },
	{ "config", TAKES_VALUE, offsetof(struct cli, conf_path) },
	{ "configPath", TAKES_VALUE, offsetof(struct cli, conf_dir) },
	{ "configName", TAKES_VALUE, offsetof(struct cli, conf_name) },
	{ "v", TAKES_COUNT, offsetof(struct cli, verbose) },
	{ "verbose", TAKES_COUNT, offsetof(struct cli, verbose) },
	{ "syslog", TAKES_NONE, offsetof(struct cli, to_syslog) },
	{ "json", TAKES_NONE, offsetof(struct cli, json) },
	{ "offline", TAKES_NONE, offsetof(struct cli, offline) },
	{ "id", TAKES_VALUE, offsetof(struct cli, id) },
	{ "mailbox", TAKES_MAILBOX, 0 },
	{ "debug", TAKES_COUNT, offsetof(struct cli, verbose) },
	{ "version", TAKES_NONE, offsetof(struct cli, version) },
	{ "V", TAKES_NONE, offsetof(struct cli, version) },
	{ "pass", TAKES_NONE, offsetof(struct cli, pass) },
	{ "help", TAKES_NONE, offsetof(struct cli, help) },
	{ "h", TAKES_NONE, offsetof(struct cli, help) },
	{ "feedbackInterval", IGNORED_VALUE, IGNORED_FEEDBACK },
	{ "redisEnabled", IGNORED_NONE, IGNORED_REDIS },
	{ "redisUrl", IGNORED_VALUE, IGNORED_REDIS },
	{ "redisPassword", IGNORED_VALUE, IGNORED_REDIS },
	{ "redisDb", IGNORED_VALUE, IGNORED_REDIS },
	{ "apns-host", IGNORED_VALUE, IGNORED_GATEWAY },
	{ "apns-port", IGNORED_VALUE, IGNORED_GATEWAY },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* One word "-name", "--name" or either with "=value". */
struct word {
	char name[64];
	const char *value; /* NULL: in the next word, if one is needed */
};

static bool split_word(const char *arg, struct word *w)
{
	const char *eq;
	size_t n;

	if (arg[0] != '-' || arg[1] == '\0')
		return false;
	arg += arg[1] == '-' ? 2 : 1;
	eq = strchr(arg, '=');
	n = eq != NULL ? (size_t)(eq - arg) : strlen(arg);
	if (n >= sizeof(w->name))
		n = sizeof(w->name) - 1;
	memcpy(w->name, arg, n);
	w->name[n] = '\0';
	w->value = eq != NULL ? eq + 1 : NULL;
	return true;
}

/* Words in either case, letters as they are: -v and -V. */
static const struct option *find_option(const char *name)
{
	int (*compare)(const char *, const char *) =
	    name[0] != '\0' && name[1] == '\0' ? strcmp : strcasecmp;
	size_t i;

	for (i = 0; i < N_OPTIONS; i++)
		if (compare(name, options[i].name) == 0)
			return &options[i];
	return NULL;
}

static bool takes_value(const struct option *o)
{
	return o->kind == TAKES_VALUE || o->kind == TAKES_MAILBOX ||
	       o->kind == IGNORED_VALUE;
}

/* The option or key that may be meant, or NULL. */
static const char *near_option(const char *name)
{
	size_t i, len = strlen(name), best = TEXT_TYPOS_MAX(len) + 1;
	const char *near = conf_near_key(name);

	if (near != NULL)
		text_is_nearer(name, len, near, &best);
	for (i = 0; i < N_OPTIONS; i++)
		if (options[i].name[1] != '\0' &&
		    options[i].kind < IGNORED_NONE &&
		    text_is_nearer(name, len, options[i].name, &best))
			near = options[i].name;
	return near;
}

/* The value of the option at argv[*i], which then is at the value. */
static const char *take_value(
    const struct cli *cli, const struct word *w, int *i, char err[ERR_MAX])
{
	if (w->value != NULL)
		return w->value;
	if (*i + 1 < cli->argc)
		return cli->argv[++*i];
	err_set(err, "option --%s needs a value", w->name);
	return NULL;
}

/* Go's strconv.ParseBool: 0 or 1, -1 if it is neither. */
static int parse_bool(const char *s)
{
	static const char words[][6] = { "false", "true", "f", "t", "0", "1" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0)
			return i & 1;
	return -1;
}

static int add_mailbox(struct cli *cli, const char *name, char err[ERR_MAX])
{
	if (cli->n_mailboxes < CLI_MAILBOXES_MAX) {
		cli->mailboxes[cli->n_mailboxes++] = name;
		return 0;
	}
	err_set(err, "option --mailbox is given more than %d times",
	    CLI_MAILBOXES_MAX);
	return -1;
}

static int set_option(struct cli *cli, const struct option *o,
    const struct word *w, int *i, char err[ERR_MAX])
{
	char *at = (char *)cli + o->offset;
	const char *value;
	int on = w->value == NULL ? 1 : parse_bool(w->value);

	if (takes_value(o)) {
		value = take_value(cli, w, i, err);
		if (value == NULL)
			return -1;
		if (o->kind == TAKES_VALUE)
			memcpy(at, &value, sizeof(value));
		if (o->kind == TAKES_MAILBOX)
			return add_mailbox(cli, value, err);
	} else if (on < 0) {
		err_set(err, "option --%s takes no value", w->name);
		return -1;
	} else if (o->kind == TAKES_COUNT) {
		*(int *)(void *)at += on;
	} else if (o->kind == TAKES_NONE) {
		*(bool *)at = on;
	}
	return 0;
}

/* The option at argv[*i], with its value. */
static int parse_option(
    struct cli *cli, const struct word *w, int *i, char err[ERR_MAX])
{
	const struct option *o = find_option(w->name);
	const char *near, *value;

	if (o != NULL)
		return set_option(cli, o, w, i, err);
	if (strcmp(w->name, "vv") == 0) {
		cli->verbose += 2;
		return 0;
	}
	if (!conf_has_key(w->name)) {
		near = near_option(w->name);
		err_set(err,
		    near != NULL ? "unknown option %s; did you mean --%s?"
				 : "unknown option %s",
		    cli->argv[*i], near);
		return -1;
	}
	cli->has_keys = true;
	value = take_value(cli, w, i, err);
	/* The daemon's user; of `register` whose registration it is. */
	if (strcasecmp(w->name, "user") == 0)
		cli->user = value;
	return value == NULL ? -1 : 0;
}

/* Options move to the front, the other words after them. */
int cli_parse(struct cli *cli, int argc, char **argv, char err[ERR_MAX])
{
	char **words = xmalloc(((size_t)argc + 1) * sizeof(*words));
	int i, first, n = 0, at = 1, rc = 0;
	bool all_words = false;
	struct word w;

	*cli = (struct cli){ .argc = argc, .argv = argv, .rest = argc };
	for (i = 1; i < argc && rc == 0; i++) {
		first = i;
		if (all_words || !split_word(argv[i], &w)) {
			words[n++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			all_words = true;
			cli->argc--;
			continue;
		}
		rc = parse_option(cli, &w, &i, err);
		while (first <= i && first < argc)
			argv[at++] = argv[first++];
	}
	if (rc == 0) {
		cli->rest = at;
		memcpy(argv + at, words, (size_t)n * sizeof(*words));
	}
	free(words);
	return rc;
}

static int apply_keys(
    const struct cli *cli, struct conf *conf, char err[ERR_MAX])
{
	const struct option *o;
	const char *value;
	struct word w;
	unsigned said = 0;
	int i;

	for (i = 1; i < cli->rest; i++) {
		split_word(cli->argv[i], &w);
		o = find_option(w.name);
		if (o != NULL) {
			if (takes_value(o))
				take_value(cli, &w, &i, err);
			if (o->kind >= IGNORED_NONE)
				said |= 1u << o->offset;
			continue;
		}
		if (strcmp(w.name, "vv") == 0)
			continue;
		value = take_value(cli, &w, &i, err);
		if (conf_set(conf, w.name, value, err) < 0)
			return -1;
	}
	for (i = 0; i < N_IGNORED; i++)
		if (said >> i & 1)
			log_warn("%s", ignored[i]);
	return 0;
}

/* As the Go daemon looks for it, but in the folder that was given first. */
static void find_conf(const struct cli *cli, char path_r[PATH_MAX])
{
	static const char ends[][6] = { ".yaml", ".yml", "" };
	static const char etc[] = "/etc/xapsd";
	const char *dirs[] = { cli->conf_dir != NULL ? cli->conf_dir : etc,
		etc };
	const char *name = cli->conf_name != NULL ? cli->conf_name : "xapsd";
	struct stat st;
	size_t i;

	for (i = 0; i < 6; i++) {
		snprintf(path_r, PATH_MAX, "%s/%s%s", dirs[i / 3], name,
		    ends[i % 3]);
		if (stat(path_r, &st) == 0 && S_ISREG(st.st_mode))
			return;
	}
	snprintf(path_r, PATH_MAX, "%s/%s%s", dirs[0], name, ends[0]);
}

int cli_configure(const struct cli *cli, struct conf *conf, char err[ERR_MAX])
{
	const char *path = CONF_PATH_DEFAULT;
	bool named = true;
	char joined[PATH_MAX];

	conf_init(conf);
	if (cli->conf_path != NULL) {
		path = cli->conf_path;
	} else if (cli->conf_dir != NULL || cli->conf_name != NULL) {
		find_conf(cli, joined);
		path = joined;
	} else {
		named = false;
	}
	/* A first-generation command line has no file. */
	if (conf_read(conf, path, err) < 0 &&
	    !(errno == ENOENT && !named && cli->has_keys))
		return -1;
	errno = 0;
	if (apply_keys(cli, conf, err) < 0 || conf_check(conf, err) < 0) {
		errno = 0;
		return -1;
	}
	return 0;
}
