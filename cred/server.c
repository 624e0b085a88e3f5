/* cred/server.c - the certificate of our own listener, tlsListenAddr. */
#include "cred/int.h"

#include "conf.h"
#include "mem.h"
#include "tls.h"

struct cred *cred_load_server(const struct conf *conf, char err[ERR_MAX])
{
	struct cred *c = xcalloc(1, sizeof(*c));
	const struct cred_password none = {
		.cure = "take one without password (openssl pkey -in … -out …)",
	};
	const struct cred_pair pair = {
		.cert_key = "tlsCertfile",
		.cert_name = conf->tls_certfile,
		.key_key = "tlsKeyfile",
		.key_name = conf->tls_keyfile,
		.pw = &none,
	};
	char why[ERR_MAX];

	c->kind = CRED_SERVER;
	if (cred_load_pair(c, conf, &pair, err) != 0)
		goto fail;
	cred_take_dates(c);
	c->tls = tls_server_new(c->cert, c->key, why);
	if (c->tls == NULL) {
		conf_blame(conf, "tlsCertfile", err, "%s", why);
		goto fail;
	}
	c->cert = NULL; /* the context's now */
	c->key = NULL;
	return c;
fail:
	cred_free(c);
	return NULL;
}
