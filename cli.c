/* cli.c - the command line. */
#include "cli.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf.h"

const char cli_help[] =
    "Usage: xapsd [-c FILE] [-v] [--syslog] [--KEY VALUE ...]\n"
    "\n"
    "Wakes iPhones for new mail: takes registrations and notifications from\n"
    "Dovecot's xaps plugins and pushes to Apple (APNs).  Runs in the "
    "foreground.\n"
    "\n"
    "  -c, --config FILE   configuration (default " CONF_PATH_DEFAULT ")\n"
    "  -v, --verbose       log level debug; twice: trace\n"
    "      --syslog        log to syslog instead of stderr\n"
    "      --KEY VALUE     any key of the configuration, e.g. --loglevel "
    "debug\n"
    "      --version       version and TLS library\n"
    "  -h, --help          this text\n"
    "\n"
    "  xapsd check         says whether pushes can be sent, step by step\n"
    "  xapsd pass          the Go daemon's password hash\n"
    "\n"
    "Options take one or two dashes, with =VALUE or a following VALUE.\n"
    "Exit status: 0 done, 1 failed, 64 usage, 78 configuration.\n"
    "Manual: xapsd(8).\n";

enum kind {
	TAKES_NONE, /* counts in an int or sets a bool */
	TAKES_COUNT,
	TAKES_VALUE,
};

static const struct option {
	const char *name;
	enum kind kind;
	size_t offset;
} options[] = {
	{ "c", TAKES_VALUE, offsetof(struct cli, conf_path) },
	{ "config", TAKES_VALUE, offsetof(struct cli, conf_path) },
	{ "configPath", TAKES_VALUE, offsetof(struct cli, conf_dir) },
	{ "configName", TAKES_VALUE, offsetof(struct cli, conf_name) },
	{ "v", TAKES_COUNT, offsetof(struct cli, verbose) },
	{ "verbose", TAKES_COUNT, offsetof(struct cli, verbose) },
	{ "syslog", TAKES_NONE, offsetof(struct cli, to_syslog) },
	{ "version", TAKES_NONE, offsetof(struct cli, version) },
	{ "pass", TAKES_NONE, offsetof(struct cli, pass) },
	{ "help", TAKES_NONE, offsetof(struct cli, help) },
	{ "h", TAKES_NONE, offsetof(struct cli, help) },
};

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

static const struct option *find_option(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcasecmp(name, options[i].name) == 0)
			return &options[i];
	return NULL;
}

/* The value of the option at argv[*i], which moves behind it. */
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

static int set_option(struct cli *cli, const struct option *o,
    const struct word *w, int *i, char err[ERR_MAX])
{
	char *at = (char *)cli + o->offset;
	const char *value;

	if (o->kind == TAKES_VALUE) {
		value = take_value(cli, w, i, err);
		if (value == NULL)
			return -1;
		memcpy(at, &value, sizeof(value));
	} else if (w->value != NULL) {
		err_set(err, "option --%s takes no value", w->name);
		return -1;
	} else if (o->kind == TAKES_COUNT) {
		++*(int *)(void *)at;
	} else {
		*(bool *)at = true;
	}
	return 0;
}

int cli_parse(struct cli *cli, int argc, char **argv, char err[ERR_MAX])
{
	const struct option *o;
	struct word w;
	int i;

	*cli = (struct cli){ .argc = argc, .argv = argv, .rest = argc };
	for (i = 1; i < argc; i++) {
		if (!split_word(argv[i], &w)) {
			cli->rest = i;
			break;
		}
		o = find_option(w.name);
		if (o != NULL) {
			if (set_option(cli, o, &w, &i, err) < 0)
				return -1;
		} else if (strcmp(w.name, "vv") == 0) {
			cli->verbose += 2;
		} else if (!conf_has_key(w.name)) {
			err_set(err, "unknown option %s", argv[i]);
			return -1;
		} else if (take_value(cli, &w, &i, err) == NULL) {
			return -1;
		} else {
			cli->has_keys = true;
		}
	}
	return 0;
}

static int apply_keys(
    const struct cli *cli, struct conf *conf, char err[ERR_MAX])
{
	const struct option *o;
	const char *value;
	struct word w;
	int i;

	for (i = 1; i < cli->rest; i++) {
		split_word(cli->argv[i], &w);
		o = find_option(w.name);
		if (o != NULL) {
			if (o->kind == TAKES_VALUE)
				take_value(cli, &w, &i, err);
			continue;
		}
		if (strcmp(w.name, "vv") == 0)
			continue;
		value = take_value(cli, &w, &i, err);
		if (conf_set(conf, w.name, value, err) < 0)
			return -1;
	}
	return 0;
}

int cli_configure(const struct cli *cli, struct conf *conf, char err[ERR_MAX])
{
	const char *path = CONF_PATH_DEFAULT;
	bool named = true;
	char joined[1024];

	conf_init(conf);
	if (cli->conf_path != NULL) {
		path = cli->conf_path;
	} else if (cli->conf_dir != NULL || cli->conf_name != NULL) {
		snprintf(joined, sizeof(joined), "%s/%s.yaml",
		    cli->conf_dir != NULL ? cli->conf_dir : "/etc/xapsd",
		    cli->conf_name != NULL ? cli->conf_name : "xapsd");
		path = joined;
	} else {
		named = false;
	}
	/* A first-generation command line has no file. */
	if (conf_read(conf, path, err) < 0 &&
	    !(errno == ENOENT && !named && cli->has_keys))
		return -1;
	if (apply_keys(cli, conf, err) < 0)
		return -1;
	return conf_check(conf, err);
}
