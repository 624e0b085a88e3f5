/* features.h - what `make FEATURES=...` has built in, and what to say of the
 * rest. */
#ifndef FEATURES_H
#define FEATURES_H

/* The names, separated by blanks; "" if there are none. */
extern const char features_built[];

/* NULL if this build has the feature, else one sentence: that it is missing, and
 * what to do. */
const char *features_lack(const char *name);
/* The same for the feature that a key of the configuration belongs to; NULL also
 * if it belongs to none. */
const char *features_lack_key(const char *key);

#endif
