/* no-webpush.c - in the place of webpush.c in a build without it. */
#include "webpush.h"

#include "features.h"

struct webpush *webpush_new(const struct conf *conf)
{
	(void)conf;
	return NULL;
}

void webpush_free(struct webpush *w)
{
	(void)w;
}

int webpush_check_text(const struct conf *conf, char err[ERR_MAX])
{
	(void)conf;
	(void)err;
	return 0;
}

const char *webpush_key(struct webpush *w, char err[ERR_MAX])
{
	(void)w;
	err_set(err, "%s", features_lack("webpush"));
	return NULL;
}

int webpush_subscribe(struct webpush *w, const struct webpush_sub *sub,
    char to[WEBPUSH_TO_MAX], char err[ERR_MAX])
{
	(void)sub;
	to[0] = '\0';
	webpush_key(w, err);
	return -2;
}

enum webpush_state webpush_state(struct webpush *w, const char *to)
{
	(void)w;
	(void)to;
	return WEBPUSH_BAD;
}

const char *webpush_code(const char *to)
{
	(void)to;
	return "";
}

bool webpush_confirms(const char *to, const char *code)
{
	(void)to;
	(void)code;
	return false;
}

void webpush_confirm(const char *to, char out[WEBPUSH_TO_MAX])
{
	(void)to;
	out[0] = '\0';
}
