/* push/no-webpush.c - in the place of push/webpush.c in a build without it. */
#include "push/int.h"

struct webpush *push_webpush(struct push_queue *q)
{
	return q->webpush;
}

const struct push_way push_way_webpush = { .kind = REG_WEBPUSH };
