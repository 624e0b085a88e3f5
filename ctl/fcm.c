/* ctl/fcm.c - `xapsd check`: does Google give access tokens to our account? */
#include "ctl/int.h"

#include <stdlib.h>

#include "conf.h"
#include "cred.h"
#include "fcm.h"
#include "loop.h"
#include "tls.h"
#include "url.h"

#define POLL_MS 50

static void on_ready(void *arg)
{
	(void)arg;
}

/* Until there is a token, or something is wrong: err. */
static bool get_token(struct loop *l, const struct send_target *to,
    const struct cred_service *account, char err[ERR_MAX])
{
	struct send_gate *gate = send_gate_new(false);
	struct fcm *f = fcm_new(l, account, to, on_ready, NULL, "", gate);
	int64_t end_ms = loop_now_ms(l) + 2 * to->timeout_ms;
	enum send_sent sent = SEND_FULL;
	const char *bearer;

	while (sent == SEND_FULL && loop_now_ms(l) < end_ms &&
	       *fcm_trouble(f) == '\0') {
		sent = fcm_bearer(f, &bearer, err);
		loop_once(l, POLL_MS);
	}
	if (sent == SEND_FULL)
		sent = fcm_bearer(f, &bearer, err);
	if (sent == SEND_FULL)
		err_set(err, "%s",
		    *fcm_trouble(f) != '\0' ? fcm_trouble(f)
					    : "no access token in time");
	fcm_free(f);
	loop_once(l, 0);
	free(gate);
	return sent == SEND_SENT;
}

bool ctl_check_fcm(const struct conf *conf, const struct cred *cred,
    struct loop *l, const char *step)
{
	const struct cred_service *account = cred_fcm(cred);
	const struct url https = { .tls = true }; /* of the account's */
	struct tls_ctx *trust = NULL;
	struct send_target to;
	char line[ERR_MAX];
	bool ok;

	if (account == NULL)
		return true;
	ok = send_web_target(conf, "fcm", &https, &trust, &to, line) == 0 &&
	     get_token(l, &to, account, line);
	if (ok)
		err_set(line, "gives access tokens to %s", account->email);
	ctl_step(step, ok ? STEP_OK : STEP_FAILED, line);
	tls_ctx_free(trust);
	return ok;
}
