/* ctl/no-csr.c - in place of csr.c: xapsd.c has said that it is missing. */
#include "ctl.h"

#include "cli.h"

int ctl_csr(const struct conf *conf, const struct cli *cli)
{
	(void)conf;
	(void)cli;
	return EXIT_FAILED;
}
