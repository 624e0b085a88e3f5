/* conf/int.h - what the files of conf share.  Nobody else includes this. */
#ifndef CONF_INT_H
#define CONF_INT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "log.h"

#define CONF_SHOWN_MAX 60 /* characters of a bad value in a message */

/* --- conf/yaml.c --- */

/* Where in the input we are; conf_fail() makes a message of it. */
struct conf_place {
	const char *file; /* NULL: the command line */
	int line;	  /* 0: none */
	const char *key;  /* NULL: not known yet; need not be terminated */
	int key_len;
	char *err;
};

/* Writes "file:line: key: " and the message into at->err; always -1. */
int conf_fail(const struct conf_place *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int conf_vfail(const struct conf_place *at, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* A reader of `key: value` lines; knows no keys. */
struct yaml {
	struct conf_place at; /* of the last pair */
	char *next, *end;     /* lines not read yet */
	char *value;	      /* the colon of the last pair, */
	char *stop;	      /* and the end of its line */
	bool begun;
	bool stars; /* a plain value may begin with * */
	bool block; /* indented lines may follow the last pair, */
	bool inner; /* and this is one of them */
};

/* text[len] is writable, too: values are decoded in place.  name is the
 * file's in messages. */
void yaml_open(
    struct yaml *y, const char *name, char *text, size_t len, char *err);
/* Finds the next key: its length, with y->at.key at its name; 0 at the end, -1
 * with err set. */
int yaml_key(struct yaml *y);
/* The value of that key, "" for none; NULL with err set.  Put the name by which
 * messages should call the key into y->at first. */
char *yaml_value(struct yaml *y);

#endif
