/* tls/no-csr.c - a build that makes no requests for certificates. */
#include "tls.h"

#include "features.h"

int tls_csr_make(
    const char *name, char **key_r, char **request_r, char err[ERR_MAX])
{
	(void)name;
	*key_r = *request_r = NULL;
	err_set(err, "%s", features_lack("csr"));
	return -1;
}
