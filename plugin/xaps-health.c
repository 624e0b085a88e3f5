/* xaps-health.c - which addresses of xapsd have just failed. */

#include "lib.h"
#include "crc32.h"
#include "mail-user.h"
#include "compat.h"
#include "xaps-health.h"

#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

/* A daemon that restarts is back by then; of those who deliver while an address
   hangs, one in this time waits for it. */
#define XAPS_HEALTH_BAD_SECS 10
/* A semaphore's value is 32767 at most: seconds modulo 9 hours. */
#define XAPS_HEALTH_CYCLE_SECS 32766

static key_t health_key;
/* When each failed last, 0 if it is well: where semaphores are not to be had.
   They are used for the reason that xaps-log.c gives; what another local user
   can do with them is to change the order. */
static int health_own[XAPS_HEALTH_SLOTS];

void xaps_health_init(struct mail_user *user)
{
	/* IPC_PRIVATE is 0. */
	health_key = (key_t)(crc32_str(t_strconcat(
				 compat_base_dir(user), "/xaps-health", NULL)) &
			     0x7fffffff) |
		     1;
}

static int xaps_health_semaphores(void)
{
	return semget(health_key, XAPS_HEALTH_SLOTS, IPC_CREAT | 0666);
}

static int xaps_health_get(unsigned int slot)
{
	int id = xaps_health_semaphores();
	int value = id == -1 ? -1 : semctl(id, slot, GETVAL);

	return value < 0 ? health_own[slot] : value;
}

static void xaps_health_put(unsigned int slot, int value)
{
	int id = xaps_health_semaphores();

	health_own[slot] = value;
	if (id != -1)
		(void)semctl(id, slot, SETVAL, value);
}

/* 1 and up; the wall clock may jump. */
static int xaps_health_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 1;
	return ts.tv_sec % XAPS_HEALTH_CYCLE_SECS + 1;
}

bool xaps_health_may_try(unsigned int slot)
{
	int failed = xaps_health_get(slot), now = xaps_health_now();

	if (failed == 0)
		return TRUE;
	if ((now - failed + XAPS_HEALTH_CYCLE_SECS) % XAPS_HEALTH_CYCLE_SECS <
	    XAPS_HEALTH_BAD_SECS)
		return FALSE;
	/* This one tries; the others wait for what it finds. */
	xaps_health_put(slot, now);
	return TRUE;
}

void xaps_health_set(unsigned int slot, bool well)
{
	if (!well)
		xaps_health_put(slot, xaps_health_now());
	else if (xaps_health_get(slot) != 0)
		xaps_health_put(slot, 0);
}
