/* cred/no-fcm.c - in a build without fcm: fcmServiceAccount is refused by conf. */
#include "cred/int.h"

int cred_load_fcm(struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	(void)c;
	(void)conf;
	(void)err;
	return 0;
}

void cred_free_fcm(struct cred *c)
{
	(void)c;
}
