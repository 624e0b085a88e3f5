/* ctl/no-app.c - in a build with Apple's registrations only: one of another kind is
 * of a daemon or a file that had them. */
#include "ctl/int.h"

#include "features.h"

enum ctl_result ctl_doctor_app(const struct json *j, int64_t now_s, bool live,
    char kind[CTL_KIND_MAX], char text[ERR_MAX])
{
	const char *lack;

	(void)now_s;
	(void)live;
	ctl_str(j, j->toks, "kind", kind, CTL_KIND_MAX);
	lack = features_lack(kind);
	err_set(text, "%s", lack != NULL ? lack : "not known");
	return STEP_LOOK;
}
