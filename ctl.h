/* ctl.h - the subcommands.  Those that look after registrations ask the running
 * daemon over its Unix socket; list, export and import work on the file when
 * none runs.  Each prints its result and returns an exit status. */
#ifndef CTL_H
#define CTL_H

struct cli;
struct conf;

int ctl_list(const struct conf *conf, const struct cli *cli);
int ctl_status(const struct conf *conf, const struct cli *cli);
/* Whether the daemon is healthy, for a container's engine. */
int ctl_healthcheck(const struct conf *conf, const struct cli *cli);
int ctl_push(const struct conf *conf, const struct cli *cli);
int ctl_register(const struct conf *conf, const struct cli *cli);
int ctl_forget(const struct conf *conf, const struct cli *cli);
int ctl_export(const struct conf *conf, const struct cli *cli);
int ctl_import(const struct conf *conf, const struct cli *cli);

/* Configuration, credentials, connection and Apple's answer, a line each. */
int ctl_check(const struct conf *conf, const struct cli *cli);
/* Why a user's phone is woken or not, a line each. */
int ctl_doctor(const struct conf *conf, const struct cli *cli);
/* Prints as JSON of these two that the configuration is not even taken. */
void ctl_conf_refused(const char *why);

/* Makes a key and a request for a certificate; needs no configuration: conf may
 * be NULL. */
int ctl_csr(const struct conf *conf, const struct cli *cli);

/* Asks for a line without echo, prints its SHA-256 in hex: the Go daemon's
 * password hash. */
int ctl_pass(void);

#endif
