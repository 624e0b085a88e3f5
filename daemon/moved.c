/* daemon/moved.c - warns of what the configuration of another daemon means
 * here: at the start and in `xapsd check`. */
#include <stddef.h>

#include "conf.h"
#include "cred.h"
#include "daemon.h"

/* The Go daemon ends at once without checkInterval, and ours needs none. */
static void check_listener(const struct conf *c, const char *port_key, int port,
    const char *key, void (*warn)(const char *sentence))
{
	char line[ERR_MAX];

	if (port == 0 || !conf_is_given(c, "checkInterval") ||
	    !conf_is_given(c, port_key) || conf_is_given(c, key))
		return;
	err_set(line,
	    "%s: is not set, so port %d is open to this machine only (the Go "
	    "daemon's is open to all): set it if Dovecot runs on another one",
	    key, port);
	warn(line);
}

void daemon_check_moved(
    const struct conf *c, void (*warn)(const char *sentence))
{
	if (c->apple_id != NULL || c->apple_id_hashed_password != NULL)
		warn("appleId: Apple closed this log-in in October 2024: use "
		     "keyFileP8 or certificateFilePem instead");
	cred_check_unused(c, warn);
	check_listener(c, "port", c->port, "listenAddr", warn);
	if (c->tls_certfile != NULL)
		check_listener(
		    c, "tlsPort", c->tls_port, "tlsListenAddr", warn);
}
