/* daemon.h - the daemon itself, from its configuration to its end. */
#ifndef DAEMON_H
#define DAEMON_H

struct cli;
struct conf;
struct passwd;

/* Runs until it is told to stop; an exit status.  Takes the conf over. */
int daemon_run(struct conf *conf, const struct cli *cli);

/* Makes root this user and nothing else, groups included, for good.  0, or -1
 * with errno set (0 if something of root's is left). */
int daemon_become(const struct passwd *pw);

#endif
