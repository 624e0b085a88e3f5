/* conf_take_test.c - which keys change in a running daemon, and which wait. */
#include "unit.h"

#include <string.h>

#include "conf.h"
#include "needs.h"

static void read_text(struct conf *c, const char *text)
{
	char err[ERR_MAX];

	conf_init(c);
	assert_int_equal(conf_parse(c, "f", text, strlen(text), err), 0);
}

static void test_take(void **state)
{
	struct conf c, fresh;
	char restart[ERR_MAX], err[ERR_MAX];

	(void)state;
	read_text(&c, "httpUser: old\ndelay: 5\nkeyFileP8: a.p8\nport: 1\n");
	read_text(&fresh,
	    "\n\n\ndelay: 7\nhttpUser: new\nhttpPassword: p\nretryMin: 2s\n"
	    "mailboxHashes: never\nallowInsecure: yes\nloglevel: error\n"
	    "port: 2\nsocketPath:\nuser: u\npushPriority: 5\n");
	conf_take(&c, &fresh, restart);
	assert_string_equal(restart, "socketPath, port, user");
	assert_int_equal(c.delay_s, 7);
	assert_int_equal(fresh.delay_s, 5);
	assert_string_equal(c.http_user, "new");
	assert_string_equal(fresh.http_user, "old");
	assert_string_equal(c.http_password, "p");
	assert_null(c.key_file_p8);
	assert_int_equal(c.retry_min_ms, 2000);
	assert_int_equal(c.mailbox_hashes, HASHES_NEVER);
	assert_int_equal(c.push_priority, 5);
	assert_true(c.allow_insecure);
	assert_int_equal(c.loglevel, LOG_L_ERROR);
	assert_int_equal(c.port, 1);
	assert_non_null(c.socket_path);
	assert_null(c.user);
	/* its line number was taken, too */
	conf_blame(&c, "delay", err, "x");
	assert_string_equal(err, "f:4: delay: x");
	conf_blame(&c, "port", err, "x");
	assert_string_equal(err, "f:4: port: x");
	conf_free(&c);
	conf_free(&fresh);
}

/* The same again changes nothing; neither does another order. */
static void test_same(void **state)
{
	struct conf c, fresh;
	char restart[ERR_MAX];

	(void)state;
	read_text(&c, "port: 5\nuser: u\npushType: alert\nsocketMode: 0600\n");
	read_text(
	    &fresh, "user: u\nsocketMode: 600\npushType: ALERT\nport: 5\n");
	conf_take(&c, &fresh, restart);
	assert_string_equal(restart, "");
	conf_free(&c);
	conf_free(&fresh);
}

/* Every key that waits, at once: the list fits. */
static void test_all_of_them(void **state)
{
	static const char text[] =
	    "databaseFile: x\nsocketPath: x\nsocketMode: 0600\n"
	    "socketGroup: x\nlistenAddr: x\nport: 1\ntlsListenAddr: x\n"
	    "tlsPort: 1\ntlsCertfile: x\ntlsKeyfile: x\nmaxConnections: 1\n"
	    "apnsEnvironment: sandbox\napnsHost: x\napnsPort: 1\n"
	    "pushType: alert\npushPriority: 5\nuser: x\n";
	struct conf c, fresh;
	char restart[ERR_MAX];

	(void)state;
	NEEDS("tls-listener");
	read_text(&c, "");
	read_text(&fresh, text);
	conf_take(&c, &fresh, restart);
	assert_string_equal(restart,
	    "databaseFile, socketPath, socketMode, socketGroup, listenAddr, "
	    "port, tlsListenAddr, tlsPort, user");
	assert_int_equal(c.max_connections, 1);
	assert_true(c.apns_sandbox);
	assert_string_equal(c.apns_host, "x");
	assert_string_equal(c.tls_certfile, "x");
	conf_free(&c);
	conf_free(&fresh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
