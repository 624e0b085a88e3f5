/* ctl/no-modules.c - in a build whose check does not look at Dovecot's modules. */
#include "ctl/int.h"

int modules_check(bool offline)
{
	(void)offline;
	return 0;
}
