/* hook/int.h - what the files of hook share.  Nobody else includes this.
 *
 * hook.c -> template.c */
#ifndef HOOK_INT_H
#define HOOK_INT_H

#include "hook.h"

/* What is longer is cut: Dovecot has names of 4 KB, which would not leave much of a
 * path. */
#define HOOK_NAME_MAX 1024

/* What is written in the place of {user} and the others. */
enum hook_escape {
	HOOK_JSON, /* between quotes as it is there, elsewhere a whole value */
	HOOK_URL,
	HOOK_TEXT,
	HOOK_HEADER, /* control characters become ? */
};

/* The first {word} that means nothing, or NULL. */
const char *hook_template_stray(const char *text);
/* Appends the text with its placeholders replaced.  False if it does not fit. */
bool hook_template_write(struct buf *b, const char *text, enum hook_escape how,
    const struct hook_event *e);

#endif
