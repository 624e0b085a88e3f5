/* daemon/systemd.c - the service manager's two small protocols. */
#include "daemon/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

void systemd_notify(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@') /* abstract */
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		(const struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("systemd: %s: %s", path, err_words(errno));
	if (fd >= 0)
		close(fd);
}

/* A decimal number of the environment, -1 if it is none. */
static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long v;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	v = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' ? v : -1;
}

int systemd_listen_fds(void)
{
	long n = env_number("LISTEN_FDS"), i;

	if (env_number("LISTEN_PID") != (long)getpid())
		n = -1;
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (n <= 0 || n > INT_MAX - SYSTEMD_FIRST_FD)
		return 0;
	for (i = SYSTEMD_FIRST_FD; i < SYSTEMD_FIRST_FD + n; i++) {
		if (fcntl((int)i, F_SETFD, FD_CLOEXEC) < 0)
			return (int)(i - SYSTEMD_FIRST_FD);
		fcntl((int)i, F_SETFL, fcntl((int)i, F_GETFL) | O_NONBLOCK);
	}
	return (int)n;
}
