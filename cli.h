/* cli.h - the command line: options, which are also configuration keys, and
 * subcommands. */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>

#include "log.h"

struct conf;

/* Exit statuses (sysexits.h where it has one). */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 64
#define EXIT_CONFIG 78

/* Of register; more at once are for the API. */
#define CLI_MAILBOXES_MAX 32

struct cli {
	int argc;
	char **argv; /* the process's; what is not an option moves
				   to argv[rest] and after */
	int rest;    /* first word that is not an option: the command */
	const char *conf_path;		  /* NULL: the default one */
	const char *conf_dir, *conf_name; /* the Go daemon's two halves */
	int verbose;
	bool to_syslog;
	bool version, help;
	bool json;	       /* of check, doctor, list and status */
	bool offline;	       /* of check */
	const char *user, *id; /* of register; NULL: not given */
	const char *mailboxes[CLI_MAILBOXES_MAX];
	int n_mailboxes;
	bool pass;     /* the Go daemon's -pass */
	bool has_keys; /* a key was given: the file may be missing */
};

/* Sorts the words into options and others.  0, or -1 with err set: a usage
 * error. */
int cli_parse(struct cli *cli, int argc, char **argv, char err[ERR_MAX]);

/* Reads the file, then the options that are keys, and checks the whole.  conf
 * is initialised here; conf_free() it in any case.  -1 with err set, and errno
 * as conf_read() sets it. */
int cli_configure(const struct cli *cli, struct conf *conf, char err[ERR_MAX]);

#endif
