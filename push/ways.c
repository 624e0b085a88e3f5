/* push/ways.c - all kinds of registrations, and how each is pushed. */
#include "push/int.h"

const struct push_way *const push_ways[REG_KINDS] = {
	[REG_APPLE] = &push_way_apple,
	[REG_WEBPUSH] = &push_way_webpush,
	[REG_DELTACHAT] = &push_way_deltachat,
	[REG_FCM] = &push_way_fcm,
	[REG_HOOK] = &push_way_hook,
};
