/* no_ways.h - for tests of the queue alone: it has no way but Apple's. */
#ifndef NO_WAYS_H
#define NO_WAYS_H

#include "../../cred.h"
#include "../../push/int.h"

const struct push_way push_way_fcm = { .kind = REG_FCM };
const struct push_way push_way_deltachat = { .kind = REG_DELTACHAT };
const struct push_way push_way_webpush = { .kind = REG_WEBPUSH };
const struct push_way push_way_hook = { .kind = REG_HOOK };

const struct cred_service *cred_fcm(const struct cred *c)
{
	(void)c;
	return NULL;
}

#endif
