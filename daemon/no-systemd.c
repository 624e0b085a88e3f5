/* daemon/no-systemd.c - in place of daemon/systemd.c: says so under systemd. */
#include "daemon/systemd.h"

#include <stdlib.h>

#include "features.h"
#include "log.h"

void systemd_notify(const char *state)
{
	(void)state;
}

int systemd_listen_fds(void)
{
	if (getenv("LISTEN_FDS") != NULL || getenv("NOTIFY_SOCKET") != NULL)
		log_warn("systemd: %s", features_lack("systemd"));
	return 0;
}
