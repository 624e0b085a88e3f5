#ifndef XAPS_JSON_H
#define XAPS_JSON_H

/* Reads xapsd's answer to /subscriptions.  Dovecot's own parsers have nothing
   in common between 2.3 and 2.4. */

/* A member that is missing is NULL. */
struct xaps_subscription {
	const char *id, *endpoint, *token;
	bool active;
};
ARRAY_DEFINE_TYPE(xaps_subscription, struct xaps_subscription);

/* {"subscriptions":[{"id":"…","active":true, …}, …], …}; other members are
   skipped.  Strings are in the data stack, which also holds the array.  FALSE
   if it is no such answer. */
bool xaps_json_subscriptions(
    const char *json, ARRAY_TYPE(xaps_subscription) * list_r);

#endif
