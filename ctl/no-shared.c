/* ctl/no-shared.c - in place of shared.c: conf.c refuses sharedStore. */
#include "ctl/int.h"

bool ctl_check_shared(const struct conf *conf, struct loop *l, bool offline)
{
	(void)conf;
	(void)l;
	(void)offline;
	return true;
}

enum ctl_result ctl_doctor_shared(const struct conf *conf, const char *user,
    const struct json *status, char text[ERR_MAX])
{
	(void)conf;
	(void)user;
	(void)status;
	text[0] = '\0';
	return STEP_OK;
}
