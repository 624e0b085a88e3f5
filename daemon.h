/* daemon.h - the daemon itself, from its configuration to its end. */
#ifndef DAEMON_H
#define DAEMON_H

struct cli;
struct conf;

/* Runs until it is told to stop; an exit status.  Takes the conf over. */
int daemon_run(struct conf *conf, const struct cli *cli);

#endif
