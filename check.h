/* check.h - `xapsd check`: configuration, credentials, connection and Apple's
 * word on them, a line each. */
#ifndef CHECK_H
#define CHECK_H

struct conf;

/* Prints to stdout; an exit status. */
int check_run(const struct conf *conf);

#endif
