/* ctl/no-doctor.c - in place of doctor.c: xapsd.c has said that it is missing. */
#include "ctl.h"

#include "cli.h"

int ctl_doctor(const struct conf *conf, const struct cli *cli)
{
	(void)conf;
	(void)cli;
	return EXIT_FAILED;
}
