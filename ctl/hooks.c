/* ctl/hooks.c - the step of check about hooks: their files, and whether their
 * services can be reached.  None is called. */
#include "ctl/int.h"

#include "conf.h"
#include "cred.h"
#include "daemon.h"
#include "hook.h"
#include "loop.h"
#include "send.h"
#include "tls.h"

#define POLL_MS 100

struct check {
	const struct conf *conf;
	struct loop *loop;
	bool offline, ok;
	struct tls_ctx *trust; /* NULL: not needed so far */
};

static void on_capacity(void *arg)
{
	(void)arg;
}

static void on_answer(void *arg, void *owner, struct send_answer *an)
{
	(void)arg;
	(void)owner;
	(void)an;
}

static const struct send_ops ops = {
	.capacity = on_capacity,
	.answer = on_answer,
};

/* Until it is connected, or an attempt has failed. */
static bool connect_it(
    struct check *c, const struct hook *hook, char text[ERR_MAX])
{
	struct send_status st = { 0 };
	struct send_target to;
	struct sender *s;
	int64_t end_ms;

	if (send_web_target(
		c->conf, "send", hook_url(hook), &c->trust, &to, text) < 0)
		return false;
	s = sender_new(c->loop, &to, &ops, NULL, "", NULL);
	loop_once(c->loop, 0);
	end_ms = loop_now_ms(c->loop) + c->conf->push_timeout_ms + POLL_MS;
	do {
		loop_once(c->loop, POLL_MS);
		sender_get_status(s, &st);
	} while (st.state != SEND_UP && *st.last_error == '\0' &&
		 loop_now_ms(c->loop) < end_ms);
	if (st.state == SEND_UP)
		err_set(text, "%s (%s)%s%s; it was not called", st.host,
		    st.peer, *st.protocol != '\0' ? ", " : "", st.protocol);
	else
		err_set(text, "%s port %d: %s", st.host, st.port,
		    *st.last_error != '\0' ? st.last_error
					   : "no connection in time");
	sender_free(s);
	loop_once(c->loop, 0);
	return st.state == SEND_UP;
}

static void warn(const char *sentence)
{
	ctl_step(NULL, STEP_WARNING, sentence);
}

static void check_hook(void *arg, const char *name, const struct conf *conf,
    const struct hook *hook, const char *why)
{
	struct check *c = arg;
	char step[ERR_MAX], text[ERR_MAX];
	bool ok = hook != NULL;

	err_set(step, "hook %s", name);
	if (!ok) {
		err_set(text, "%s", why);
	} else {
		daemon_check_rights(conf, warn);
		err_set(text, "%s", hook_url(hook)->authority);
		ok = c->offline || connect_it(c, hook, text);
	}
	ctl_step(step, ok ? STEP_OK : STEP_FAILED, text);
	c->ok = c->ok && ok;
}

bool ctl_check_hooks(const struct conf *conf, struct loop *l, bool offline)
{
	struct check c = {
		.conf = conf, .loop = l, .offline = offline, .ok = true
	};
	char err[ERR_MAX];

	if (daemon_each_hook(conf, check_hook, &c, err) < 0) {
		ctl_step("hooks", STEP_FAILED, err);
		c.ok = false;
	}
	tls_ctx_free(c.trust);
	return c.ok;
}
