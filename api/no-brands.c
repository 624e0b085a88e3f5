/* api/no-brands.c - in a build without brands. */
#include "api/int.h"

void api_write_brands(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}

void api_write_brand_of(struct api *a, const struct reg *r, struct buf *b)
{
	(void)a;
	(void)r;
	(void)b;
}

void api_write_brand_figures(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}
