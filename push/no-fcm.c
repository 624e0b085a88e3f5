/* push/no-fcm.c - in the place of push/fcm.c in a build without it. */
#include "push/int.h"

const struct push_way push_way_fcm = { .kind = REG_FCM };
