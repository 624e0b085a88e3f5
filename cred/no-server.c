/* cred/no-server.c - in place of cred/server.c; conf has refused its keys. */
#include "cred/int.h"

#include "features.h"

struct cred *cred_load_server(const struct conf *conf, char err[ERR_MAX])
{
	(void)conf;
	err_set(err, "tlsListenAddr: %s", features_lack("tls-listener"));
	return NULL;
}
