/* api/namesake.c - users without a device who have one under another name: the log
 * says so. */
#include "api/int.h"

#include <stdlib.h>
#include <strings.h>

#include "mem.h"

/* Registrations looked at in a minute: some milliseconds of work, whatever is sent
 * to us; with fewer registrations that is every name. */
#define VISITS_MAX 200000
#define MINUTE_MS 60000

static bool is_logged(const struct api *a, const char *user)
{
	size_t i;

	for (i = 0; i < a->n_namesakes; i++)
		if (strcasecmp(a->namesakes[i], user) == 0)
			return true;
	return false;
}

/* True if this minute has time for another search. */
static bool may_search(struct api *a)
{
	int64_t now_ms = loop_now_ms(a->loop);

	if (a->search_ms == 0 || now_ms - a->search_ms >= MINUTE_MS) {
		a->search_ms = now_ms;
		a->search_visits = 0;
	}
	return a->search_visits < VISITS_MAX;
}

void api_note_unknown(struct api *a, const char *what, const char *user)
{
	bool search = may_search(a);
	const char *other;

	if (a->n_namesakes == API_NAMESAKES_MAX ||
	    log_get_level() < LOG_L_INFO || is_logged(a, user))
		return;
	if (search)
		a->search_visits += store_count(a->store) + 1;
	other = store_namesake(a->store, user, search);
	if (other == NULL)
		return;
	a->namesakes[a->n_namesakes++] = xstrdup(user);
	log_info("%s: %s has no device, but %s has: if that is the same "
		 "person, let Dovecot use one name at log-in and at delivery, "
		 "or set user_lookup to a userdb field that holds it%s",
	    what, user, other,
	    a->n_namesakes == API_NAMESAKES_MAX
		? " (more such names are not logged)"
		: "");
}

void api_namesakes_free(struct api *a)
{
	while (a->n_namesakes > 0)
		free(a->namesakes[--a->n_namesakes]);
}
