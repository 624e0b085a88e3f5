/* api/no-brands.c - in a build without brands. */
#include "api/int.h"

void api_write_brands(struct api *a, struct buf *b)
{
	(void)a;
	(void)b;
}
