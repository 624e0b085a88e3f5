/* store/grave.c - removed registrations that other nodes may still have: each is
 * kept, with its time, until a registration of that age would have expired anyway.
 *
 * Its line in the file is that of the removal, so it costs no write. */
#include "store/int.h"

#include <string.h>

#include "mem.h"

/* Others drop a registration up to 2 days later: after a start they wait. */
#define KEPT_MORE_S (3 * 86400)
/* If maxRegistrations is no limit. */
#define GRAVES_MAX 1000000

/* Later than the registration, and than a suspension. */
int64_t reg_gone_ms(const struct reg *r)
{
	return reg_time_ms(r, true) + 2 - reg_suspended(r);
}

struct reg *grave_find(const struct store *s, struct reg *r)
{
	return s->graves.n > 0 ? table_find(&s->graves, r) : NULL;
}

void grave_set_line(struct store *s, struct reg *grave, size_t len)
{
	s->live += len;
	s->live -= grave->line;
	grave->line = (uint32_t)len & 0xffffff;
}

void grave_open(struct store *s, struct reg *grave)
{
	if (grave == NULL)
		return;
	grave_set_line(s, grave, 0);
	store_set_shared(s, grave, false);
	table_remove(&s->graves, grave);
	reg_free(grave);
}

struct reg *reg_key(const struct reg *r, int64_t t_ms)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	const struct reg_spec spec = {
		.user = reg_user(r),
		.account = reg_account(r, account),
		.token = reg_token(r, token),
		.time_s = t_ms / 1000,
	};
	struct reg *grave = reg_new(&spec);

	grave->hash = r->hash; /* both tables have the same seed */
	reg_set_ms(grave, t_ms);
	return grave;
}

struct reg *grave_dig(struct store *s, struct reg *r, int64_t t_ms)
{
	size_t max =
	    s->limits.registrations != 0 ? s->limits.registrations : GRAVES_MAX;
	struct reg *grave = grave_find(s, r);

	if (grave != NULL && reg_gone_ms(grave) >= t_ms)
		return grave;
	if (grave == NULL && s->graves.n >= max)
		return NULL;
	grave_open(s, grave);
	if (s->graves.buckets == NULL) {
		table_init(&s->graves);
		memcpy(s->graves.seed, s->table.seed, sizeof(s->table.seed));
	}
	grave = reg_key(r, t_ms);
	table_add(&s->graves, grave);
	return grave;
}

void grave_expire(struct store *s)
{
	int64_t oldest_s = s->wall_s - s->limits.ttl_s - KEPT_MORE_S;
	struct reg *r, *next;
	size_t i;

	for (i = 0; i < s->graves.n_buckets; i++)
		for (r = s->graves.buckets[i]; r != NULL; r = next) {
			next = r->next;
			if (r->time_s < oldest_s)
				grave_open(s, r);
		}
}
