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
#include "features.h"
#include "text.h"
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

#define JSON_HELP "  --json      for programs: the form is in xapsd(8)\n"

static const struct command {
	const char *name, *args;
	unsigned char min, max; /* arguments */
	bool json;
	int (*run)(const struct conf *conf, const struct cli *cli);
	const char *summary; /* in --help */
	const char *more;    /* in its own --help */
} commands[] = {
	{ "check", "[--offline] [--json]", 0, 0, true, ctl_check,
	    "can pushes be sent? step by step",
	    "A line for each step, with what to do about what is wrong.\n"
	    "\n"
	    "  --offline   without the network\n" JSON_HELP },
	{ "status", "[--json]", 0, 0, true, ctl_status,
	    "the running daemon at a glance", JSON_HELP },
	{ "healthcheck", "", 0, 0, false, ctl_healthcheck,
	    "is it well? exit 0 or 1, for containers",
	    "Asks /healthz, at the socket or else at port.\n" },
	{ "list", "[--json] [USER]", 0, 1, true, ctl_list,
	    "the registered devices",
	    "Tokens and accounts are shown by their first 8 characters.\n"
	    "\n" JSON_HELP },
	{ "doctor", "[--json] USER", 1, 1, true, ctl_doctor,
	    "why a user's phone is woken, or not",
	    "A line for each step, with what to do about what is wrong.\n"
	    "\n" JSON_HELP },
	{ "push", "USER [MAILBOX]", 1, 2, false, ctl_push,
	    "send a test push, show Apple's answer",
	    "To each device of the user that watches the mailbox (INBOX).\n"
	    "Nothing arrives?  xapsd doctor USER\n" },
	{ "register", "KIND WHAT --user USER [--id ID] [--mailbox M]", 2, 2,
	    false, ctl_register, "browsers, apps",
	    "  webpush FILE           what the browser's "
	    "PushSubscription.toJSON() gives;\n"
	    "                         - is stdin\n"
	    "  fcm TOKEN, deltachat TOKEN\n"
	    "\n"
	    "  --id ID         the app's name for it: a later one of that "
	    "name\n"
	    "                  takes its place\n"
	    "  --mailbox M     instead of INBOX; again for more, '*' for "
	    "all\n" },
	{ "forget", "USER [ACCOUNT [TOKEN]]", 1, 3, false, ctl_forget,
	    "remove registrations",
	    "The first 8 characters of account and token are enough.\n"
	    "A phone that still has the account comes back within a day.\n" },
	{ "export", "", 0, 0, false, ctl_export,
	    "print all, in the Go daemon's format",
	    "One device of each account, the newest.\n" },
	{ "import", "FILE", 1, 1, false, ctl_import,
	    "take over a Go daemon's, or another xapsd's",
	    "Its database; what is newer here stays.\n" },
	{ "csr", "FILE", 1, 1, false, ctl_csr,
	    "make a key and Apple's certificate request",
	    "push.csr is the request then, push.key its key.\n" },
	{ "pass", "", 0, 0, false, NULL, "the Go daemon's password hash",
	    NULL },
	{ "help", "[COMMAND]", 0, 1, false, NULL, "this, or about a command",
	    NULL },
	{ "version", "", 0, 0, false, NULL, NULL, NULL },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int usage(const char *what)
{
	bool asks = what[strlen(what) - 1] == '?';

	fprintf(
	    stderr, "xapsd: %s%s\n", what, asks ? "" : "; try xapsd --help");
	return EXIT_USAGE;
}

static int unknown_command(const char *name)
{
	size_t i, len = strlen(name), best = TEXT_TYPOS_MAX(len) + 1;
	const char *near = NULL;
	char what[ERR_MAX];

	for (i = 0; i < N_COMMANDS; i++)
		if (text_is_nearer(name, len, commands[i].name, &best))
			near = commands[i].name;
	err_set(what,
	    near != NULL ? "unknown command %s; did you mean %s?"
			 : "unknown command %s",
	    name, near);
	return usage(what);
}

/* --- help and version --- */

static int printed(void)
{
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int help(void)
{
	char what[64];
	size_t i;

	fputs("Usage: xapsd [-c FILE] [-v] [--syslog] [--KEY VALUE ...]  runs "
	      "the daemon\n"
	      "       xapsd [-c FILE] COMMAND ...\n"
	      "\n"
	      "Wakes iPhones for new mail: hears of it from Dovecot, pushes to "
	      "Apple (APNs).\n"
	      "\n",
	    stdout);
	for (i = 0; i < N_COMMANDS; i++) {
		if (commands[i].summary == NULL)
			continue;
		snprintf(what, sizeof(what), "%s %s", commands[i].name,
		    commands[i].args);
		printf("  %-29s  %s\n", what, commands[i].summary);
	}
	fputs("\n"
	      "  -c, --config FILE   configuration (" CONF_PATH_DEFAULT
	      "); --KEY sets one key\n"
	      "  -v, --verbose       log level debug; twice: trace\n"
	      "      --syslog        log to syslog instead of stderr\n"
	      "  -V, --version, -h, --help\n"
	      "Exit status: 0 done, 1 failed, 64 usage, 78 configuration.  See "
	      "xapsd(8).\n",
	    stdout);
	return printed();
}

static int help_command(const char *name)
{
	const struct command *c = find_command(name);

	if (c == NULL)
		return unknown_command(name);
	if (c->summary == NULL)
		return help();
	printf("Usage: xapsd [-c FILE] %s%s%s\n%s: %s\n", c->name,
	    *c->args != '\0' ? " " : "", c->args, c->name, c->summary);
	if (c->more != NULL)
		printf("\n%s", c->more);
	return printed();
}

static int version(void)
{
	printf("xapsd %s, %s\n%s; %s\nfeatures: %s\n", XAPSD_VERSION,
	    tls_version(), tls_features, XAPSD_BUILD ", " COMPILER,
	    *features_built != '\0' ? features_built : "none");
	return printed();
}

/* --- the daemon and the commands --- */

static bool for_register(const struct cli *cli)
{
	return cli->id != NULL || cli->n_mailboxes > 0;
}

/* Whether the command's words and options fit it. */
static bool fits(const struct command *c, const struct cli *cli)
{
	int i, n = cli->argc - cli->rest - 1;

	/* an unset variable in a script */
	for (i = 1; i <= n; i++)
		if (cli->argv[cli->rest + i][0] == '\0')
			return false;
	return n >= c->min && n <= c->max && (c->json || !cli->json) &&
	       (c->run == ctl_check || !cli->offline) &&
	       (c->run == ctl_register ? cli->user != NULL
				       : !for_register(cli));
}

static void open_log(const struct cli *cli)
{
	if (cli->to_syslog)
		log_open(LOG_D_SYSLOG);
	else if (features_lack("systemd") == NULL &&
		 getenv("JOURNAL_STREAM") != NULL)
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

/* What to say of a command that this build is without, else NULL.  Features that
 * are one command have its name. */
static const char *lack_of(const struct command *c)
{
	return features_lack(c->run == ctl_export ? "go-import" : c->name);
}

static int run_command(const struct command *c, const struct cli *cli)
{
	const char *lack = lack_of(c);
	struct conf conf;
	char err[ERR_MAX];
	int rc;

	if (c->run == NULL)
		return ctl_pass();
	if (lack != NULL) {
		fprintf(stderr, "xapsd: %s: %s\n", c->name, lack);
		return EXIT_FAILED;
	}
	if (c->run == ctl_csr)
		return ctl_csr(NULL, cli);
	log_set_level(cli->verbose > 1	  ? LOG_L_TRACE
		      : cli->verbose == 1 ? LOG_L_DEBUG
					  : LOG_L_WARN);
	errno = 0;
	if (cli_configure(cli, &conf, err) == 0) {
		rc = c->run(&conf, cli);
	} else {
		if ((c->run == ctl_check || c->run == ctl_doctor) && cli->json)
			ctl_conf_refused(err);
		fprintf(stderr, "xapsd: %s", err);
		if (errno == EACCES && geteuid() != 0)
			fprintf(stderr,
			    "; or run this as root (sudo): sudo xapsd %s",
			    c->name);
		fputc('\n', stderr);
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

	if (c == NULL)
		return unknown_command(name);
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
	const char *word;
	struct cli cli;

	signal(SIGPIPE, SIG_IGN);
	if (cli_parse(&cli, argc, argv, err) < 0)
		return usage(err);
	word = cli.rest < cli.argc ? argv[cli.rest] : NULL;
	if (word != NULL && strcmp(word, "help") == 0 && !cli.help) {
		cli.help = true;
		word = cli.rest + 1 < cli.argc ? argv[cli.rest + 1] : NULL;
	}
	if (cli.help)
		return word != NULL ? help_command(word) : help();
	if (cli.version || (word != NULL && strcmp(word, "version") == 0))
		return version();
	if (cli.pass || word != NULL)
		return run_named(&cli);
	if (cli.json)
		return usage("--json is for check, doctor, list and status");
	if (cli.offline)
		return usage("--offline is for check");
	if (for_register(&cli))
		return usage("--id and --mailbox are for register");
	return run_daemon(&cli);
}
