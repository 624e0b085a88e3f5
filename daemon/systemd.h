/* daemon/systemd.h - the service manager's two small protocols, without its
 * library: sd_notify(3) and sd_listen_fds(3).  Without such a manager both do
 * nothing. */
#ifndef SYSTEMD_H
#define SYSTEMD_H

/* Sends e.g. "READY=1" to NOTIFY_SOCKET. */
void systemd_notify(const char *state);

#define SYSTEMD_FIRST_FD 3
/* How many sockets were handed over, from SYSTEMD_FIRST_FD on; they are made
 * close-on-exec and non-blocking.  The environment forgets them. */
int systemd_listen_fds(void);

#endif
