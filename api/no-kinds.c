/* api/no-kinds.c - in a build with Apple's registrations only. */
#include "api/int.h"

void api_write_kinds(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}

void api_write_kind_figures(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}

void api_write_kind_metrics(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}
