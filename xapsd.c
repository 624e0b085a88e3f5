/* xapsd.c - the program: its options and commands. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "conf.h"
#include "ctl.h"
#include "daemon.h"
#include "tls.h"

/* The target machine and kind of linking, from the makefiles. */
#ifndef XAPSD_BUILD
#define XAPSD_BUILD "unknown machine"
#endif
#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const struct command {
	const char *name, *args;
	unsigned char min, max; /* arguments */
	bool json;
	int (*run)(const struct conf *conf, const struct cli *cli);
} commands[] = {
	{ "check", "[--offline]", 0, 0, false, ctl_check },
	{ "list", "[--json] [USER]", 0, 1, true, ctl_list },
	{ "status", "[--json]", 0, 0, true, ctl_status },
	{ "push", "USER [MAILBOX]", 1, 2, false, ctl_push },
	{ "forget", "USER [ACCOUNT [TOKEN]]", 1, 3, false, ctl_forget },
	{ "export", "", 0, 0, false, ctl_export },
	{ "import", "FILE", 1, 1, false, ctl_import },
	{ "pass", "", 0, 0, false, NULL },
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int usage(const char *what)
{
	fprintf(stderr, "xapsd: %s; try xapsd --help\n", what);
	return EXIT_USAGE;
}

/* Whether the command's words and options fit it. */
static bool fits(const struct command *c, const struct cli *cli)
{
	int n = cli->argc - cli->rest - 1;

	return n >= c->min && n <= c->max && (c->json || !cli->json) &&
	       (c->run == ctl_check || !cli->offline);
}

static void open_log(const struct cli *cli)
{
	if (cli->to_syslog)
		log_open(LOG_D_SYSLOG);
	else if (getenv("JOURNAL_STREAM") != NULL)
		log_open(LOG_D_JOURNAL);
}

static int run_daemon(const struct cli *cli)
{
	struct conf conf;
	char err[ERR_MAX];
	bool unread;

	open_log(cli);
	errno = 0;
	if (cli_configure(cli, &conf, err) == 0)
		return daemon_run(&conf, cli);
	unread = errno != 0; /* the file may be there later */
	log_at(LOG_L_FATAL, "%s", err);
	conf_free(&conf);
	return unread ? EXIT_FAILED : EXIT_CONFIG;
}

static int run_command(const struct command *c, const struct cli *cli)
{
	struct conf conf;
	char err[ERR_MAX];
	int rc;

	if (c->run == NULL)
		return ctl_pass();
	log_set_level(cli->verbose > 1	  ? LOG_L_TRACE
		      : cli->verbose == 1 ? LOG_L_DEBUG
					  : LOG_L_WARN);
	errno = 0;
	if (cli_configure(cli, &conf, err) == 0) {
		rc = c->run(&conf, cli);
	} else {
		fprintf(stderr, "xapsd: %s%s\n", err,
		    errno == EACCES && geteuid() != 0
			? "; or run this as root (sudo)"
			: "");
		rc = EXIT_CONFIG;
	}
	conf_free(&conf);
	return rc;
}

static int run_named(const struct cli *cli)
{
	const char *name = cli->pass ? "pass" : cli->argv[cli->rest];
	const struct command *c = find_command(name);
	char what[ERR_MAX];

	if (c == NULL) {
		err_set(what, "unknown command %s", name);
		return usage(what);
	}
	if (!cli->pass && !fits(c, cli)) {
		err_set(what, "usage: xapsd %s%s%s", c->name,
		    *c->args != '\0' ? " " : "", c->args);
		return usage(what);
	}
	return run_command(c, cli);
}

int main(int argc, char **argv)
{
	char err[ERR_MAX];
	struct cli cli;

	signal(SIGPIPE, SIG_IGN);
	if (cli_parse(&cli, argc, argv, err) < 0)
		return usage(err);
	if (cli.help || cli.version) {
		if (cli.help)
			fputs(cli_help, stdout);
		else
			printf("xapsd %s, %s\n%s; %s\n", XAPSD_VERSION,
			    tls_version(), tls_features,
			    XAPSD_BUILD ", " COMPILER);
		return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	if (cli.pass || cli.rest < argc)
		return run_named(&cli);
	if (cli.json)
		return usage("--json is for list and status");
	if (cli.offline)
		return usage("--offline is for check");
	return run_daemon(&cli);
}
