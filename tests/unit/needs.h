/* needs.h - for tests of what `make FEATURES=...` can leave out. */
#ifndef NEEDS_H
#define NEEDS_H

#include "features.h"

#define NEEDS(feature)                                                         \
	do {                                                                   \
		if (features_lack(feature) != NULL)                            \
			skip();                                                \
	} while (0)

/* push/visits.c is there for either. */
#define NEEDS_VISITS()                                                         \
	do {                                                                   \
		if (features_lack("page") != NULL)                             \
			NEEDS("doctor");                                       \
	} while (0)

#endif
