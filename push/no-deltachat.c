/* push/no-deltachat.c - in the place of push/deltachat.c in a build without it. */
#include "push/int.h"

const struct push_way push_way_deltachat = { .kind = REG_DELTACHAT };
