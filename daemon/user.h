/* daemon/user.h - the user that the daemon runs as, and how it becomes that. */
#ifndef USER_H
#define USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "log.h"

struct conf;

/* The user that packages and units start it as, and the group that they make
 * for the socket alone. */
#define SERVICE_USER "xapsd"
#define SOCKET_GROUP "xapsd-mail"

#define USER_NAME_MAX 64 /* with its NUL; Linux's tools allow 32 characters */

struct user {
	bool drops; /* we are root and become this user: */
	uid_t uid;
	gid_t gid;
	char name[USER_NAME_MAX]; /* its number if it has none */
	bool is_named;		  /* its groups are known */
};

/* True if text is the number of a user or a group. */
bool user_number(const char *text, unsigned *id_r);
/* The name of who we are, or the number; returns out. */
const char *user_current(char out[USER_NAME_MAX]);

/* The user that the configuration names, or whoever we are.  -1 with err set:
 * there is no such user. */
int user_find(struct user *u, const struct conf *c, char err[ERR_MAX]);
/* Until user_leave() the user's rights only, and new files get the group (-1:
 * the user's own).  Root's are needed for both to do anything. */
void user_enter(const struct user *u, gid_t gid);
void user_leave(const struct user *u);
/* For good.  -1 with err set. */
int user_drop(const struct user *u, const struct conf *c, char err[ERR_MAX]);

/* The real name of the folder that path is in if nobody but root can replace
 * any part of it, else NULL; the caller frees it. */
char *user_roots_folder(const char *path);

#endif
