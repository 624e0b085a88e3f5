/* ctl/no-hooks.c - in a build without hooks: there are none. */
#include "ctl/int.h"

bool ctl_check_hooks(const struct conf *conf, struct loop *l, bool offline)
{
	(void)conf;
	(void)l;
	(void)offline;
	return true;
}
