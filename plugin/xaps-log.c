/* xaps-log.c - the modules' events, and a limit on how often an error is
   logged. */

#include "lib.h"
#include "crc32.h"
#include "ioloop.h"
#include "lib-event-private.h"
#include "mail-user.h"
#include "compat.h"
#include "xaps-log.h"

#include <sys/ipc.h>
#include <sys/sem.h>

#define XAPS_LOG_EVERY_SECS 60
/* Kinds are mapped to these; a prime, so that statuses rarely collide. */
#define XAPS_LOG_SLOTS 31
/* A semaphore's value is 32767 at most: seconds modulo 9 hours. */
#define XAPS_LOG_CYCLE_SECS 32766

static struct event_category event_category_xaps = {
	.name = "xaps",
};
static key_t log_key;

void xaps_log_init(struct mail_user *user)
{
	/* IPC_PRIVATE is 0. */
	log_key = (key_t)(crc32_str(compat_base_dir(user)) & 0x7fffffff) | 1;
}

struct event *xaps_event_create(struct mail_user *user)
{
	struct event *event = event_create(user->event);
	struct event_category *category;

	/* Both modules may be loaded; two categories of one name abort
	   2.3.7. */
	category = event_category_find_registered(event_category_xaps.name);
	if (category == NULL)
		category = &event_category_xaps;
	event_add_category(event, category);
	event_add_str(event, "user", user->username);
	return event;
}

/* Whether a line is due for all processes, -1 if unknown.  Most processes that
   log are new ones of different system users, so the time of the last line is
   kept where all of them may write: in SysV semaphores, one for each slot and
   one as a lock.  All that another local user can do with them is to suppress
   our errors or to have each logged. */
static int xaps_log_check_shared(unsigned int slot)
{
	struct sembuf lock[] = { { XAPS_LOG_SLOTS, 0, IPC_NOWAIT },
		{ XAPS_LOG_SLOTS, 1, IPC_NOWAIT | SEM_UNDO } };
	struct sembuf unlock = { XAPS_LOG_SLOTS, -1, IPC_NOWAIT | SEM_UNDO };
	int id, last, age, now = ioloop_time % XAPS_LOG_CYCLE_SECS;
	int ret = 1;

	id = semget(log_key, XAPS_LOG_SLOTS + 1, IPC_CREAT | 0666);
	if (id == -1)
		return -1;
	if (semop(id, lock, N_ELEMENTS(lock)) < 0)
		return errno == EAGAIN ? 0 : -1; /* another one logs */
	last = semctl(id, slot, GETVAL);
	/* Another process may be a second ahead of our ioloop_time. */
	age = (now + XAPS_LOG_CYCLE_SECS - (last - 1)) % XAPS_LOG_CYCLE_SECS;
	if (last > 0 && (age < XAPS_LOG_EVERY_SECS ||
			    age > XAPS_LOG_CYCLE_SECS - XAPS_LOG_EVERY_SECS))
		ret = 0;
	else if (last < 0 || semctl(id, slot, SETVAL, now + 1) < 0)
		ret = -1;
	(void)semop(id, &unlock, 1);
	return ret;
}

bool xaps_log_is_due(unsigned int kind)
{
	static time_t last[XAPS_LOG_SLOTS];
	unsigned int slot = kind % XAPS_LOG_SLOTS;
	int ret;

	if (last[slot] != 0 && ioloop_time >= last[slot] &&
	    ioloop_time < last[slot] + XAPS_LOG_EVERY_SECS)
		return FALSE;
	ret = xaps_log_check_shared(slot);
	if (ret != 0)
		last[slot] = ioloop_time;
	return ret != 0;
}
