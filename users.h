/* users.h - whose pattern a user's name matches.  A pattern is a name in which *
 * stands for any characters and ? for one; ASCII letters match in either case, as
 * in all names of users. */
#ifndef USERS_H
#define USERS_H

#include <stddef.h>

struct users;

struct users *users_new(void);
/* u may be NULL. */
void users_free(struct users *u);
/* Patterns, separated by blanks, of the set with that number, from 1; call it in
 * the order of the numbers.  The text is borrowed.  Returns a pattern that a set
 * with a lower number has, too, or NULL. */
const char *users_add(struct users *u, const char *patterns, size_t number);
/* The lowest number that has a pattern for this user; 0: none.  A name or
 * *@domain costs a binary search; other patterns are tried one after the
 * other. */
size_t users_find(const struct users *u, const char *user);

#endif
