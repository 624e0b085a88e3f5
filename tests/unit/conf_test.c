/* conf_test.c - the configuration file, its errors and the command line. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../conf.c"
#include "needs.h"

#define FILE_NAME "/etc/x/xapsd.yaml"

static char err[ERR_MAX];

/* Reads text; the caller frees c in any case. */
static int parse(struct conf *c, const char *text)
{
	conf_init(c);
	err[0] = '\0';
	return conf_parse(c, FILE_NAME, text, strlen(text), err);
}

static void good(struct conf *c, const char *text)
{
	if (parse(c, text) != 0)
		fail_msg("%s refused: %s", text, err);
}

/* The text is refused with exactly this place and a sentence with this in. */
static void bad(const char *text, const char *place, const char *what)
{
	struct conf c;
	int rc = parse(&c, text);

	conf_free(&c);
	if (rc != -1)
		fail_msg("accepted: %s", text);
	if (strncmp(err, place, strlen(place)) != 0 || !strstr(err, what))
		fail_msg("%s: got: %s", text, err);
	assert_null(strstr(err, "s3cret"));
}

static void defaults(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "");
	assert_int_equal(c.loglevel, LOG_L_INFO);
	assert_string_equal(c.database_file, "/var/lib/xapsd/database.json");
	assert_string_equal(c.socket_path, "/run/xapsd/xapsd.sock");
	assert_int_equal(c.socket_mode, 0660);
	assert_null(c.socket_group);
	assert_string_equal(c.listen_addr, "localhost");
	assert_int_equal(c.port, 11619);
	assert_int_equal(c.tls_port, 11620);
	assert_null(c.tls_certfile);
	assert_false(c.allow_insecure);
	assert_int_equal(c.max_connections, 1024);
	assert_int_equal(c.delay_s, 30);
	assert_int_equal(c.registration_ttl_s, 30 * 86400);
	assert_false(c.apns_sandbox);
	assert_null(c.apns_host);
	assert_int_equal(c.apns_port, 0);
	assert_string_equal(c.push_type, "background");
	assert_int_equal(c.push_priority, 0);
	assert_int_equal(c.push_expiration_s, 86400);
	assert_int_equal(c.push_timeout_ms, 30000);
	assert_int_equal(c.retry_min_ms, 1000);
	assert_int_equal(c.retry_max_ms, 300000);
	assert_int_equal(c.mailbox_hashes, HASHES_AUTO);
	assert_string_equal(c.path, FILE_NAME);
	conf_free(&c);
	assert_null(c.path);
}

static void every_type(void **state)
{
	struct conf c;

	(void)state;
	NEEDS("tls-listener");
	good(&c, "---   # a comment\n"
		 "# comment\n"
		 "   # indented comment\n"
		 "\n"
		 "LOGLEVEL: Debug\n"
		 "databasefile : /tmp/a b#c.json   # why\n"
		 "socketPath:\n"
		 "socketMode: 0o600\n"
		 "listenAddr: '[::1]'\n"
		 "port: 0\n"
		 "tlsListenAddr: \"[fe80::1]\"\n"
		 "httpUser: it's me\n"
		 "httpPassword: 'it''s # \"s3cret\"'\n"
		 "allowInsecure: ON\n"
		 "delay: 2m\n"
		 "registrationTtl: 1d\n"
		 "apnsEnvironment: Sandbox\n"
		 "apnsHost: ::1\n"
		 "apnsPort: 2197\n"
		 "pushType: ALERT\n"
		 "pushPriority: 10\n"
		 "pushTimeout: 0.5s\n"
		 "retryMin: 200ms\n"
		 "retryMax: 1.25m\n"
		 "mailboxHashes: never\n"
		 "topic: \"a\\u00e9\\x41\\U0001F600\\\\\\\"\\/\"");
	assert_int_equal(c.loglevel, LOG_L_DEBUG);
	assert_string_equal(c.database_file, "/tmp/a b#c.json");
	assert_null(c.socket_path);
	assert_int_equal(c.socket_mode, 0600);
	assert_string_equal(c.listen_addr, "::1");
	assert_int_equal(c.port, 0);
	assert_string_equal(c.tls_listen_addr, "fe80::1");
	assert_string_equal(c.http_user, "it's me");
	assert_string_equal(c.http_password, "it's # \"s3cret\"");
	assert_true(c.allow_insecure);
	assert_int_equal(c.delay_s, 120);
	assert_int_equal(c.registration_ttl_s, 86400);
	assert_true(c.apns_sandbox);
	assert_string_equal(c.apns_host, "::1");
	assert_int_equal(c.apns_port, 2197);
	assert_string_equal(c.push_type, "alert");
	assert_int_equal(c.push_priority, 10);
	assert_int_equal(c.push_timeout_ms, 500);
	assert_int_equal(c.retry_min_ms, 200);
	assert_int_equal(c.retry_max_ms, 75000);
	assert_int_equal(c.mailbox_hashes, HASHES_NEVER);
	assert_string_equal(c.topic, "a\xc3\xa9"
				     "A\xf0\x9f\x98\x80\\\"/");
	conf_free(&c);
}

static void scalars(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "user:", NULL },
		{ "user: ", NULL },
		{ "user: # none", NULL },
		{ "user: ''", NULL },
		{ "user: \"\"", NULL },
		{ "user: ~", NULL },
		{ "user: null", NULL },
		{ "user: '~'", "~" },
		{ "user: 'null' ", "null" },
		{ "user:  a  ", "a" },
		{ "user: a#b", "a#b" },
		{ "user: a #b", "a" },
		{ "user: a:b", "a:b" },
		{ "user: -a", "-a" },
		{ "user: 'a' # b", "a" },
		{ "user: ' a '", " a " },
		{ "user: 'a\\n'", "a\\n" },
		{ "user: ''''", "'" },
		{ "user: \"a'b # c\"", "a'b # c" },
		{ "user: \"\\u0416\"", "\xd0\x96" },
		{ "user: a\r\n\r\n# b\r\n", "a" },
		{ "\xef\xbb\xbfuser: a\n", "a" },
		{ "\xef\xbb\xbf---\r\nuser: \xd0\x96\r\n", "\xd0\x96" },
	};
	struct conf c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		good(&c, cases[i].text);
		if (cases[i].value == NULL)
			assert_null(c.user);
		else
			assert_string_equal(c.user, cases[i].value);
		conf_free(&c);
	}
	good(&c, "httpPassword: \"\\t\\n\\a\\b\\e\\f\\r\\v\\ \"");
	assert_string_equal(c.http_password, "\t\n\a\b\033\f\r\v ");
	conf_free(&c);
}

#define AT1 FILE_NAME ":1: "

static void bad_lines(void **state)
{
	(void)state;
	bad("# x\n\nlogLevl: debug",
	    FILE_NAME ":3: logLevl: ", "did you mean loglevel?");
	bad("frobnicate: 1", AT1 "frobnicate: ", "no such key");
	bad("port: 1\nloglevel: info\nPORT: 2",
	    FILE_NAME ":3: port: ", "line 1 already");
	bad("port:\nport: 2", FILE_NAME ":2: port: ", "line 1 already");
	bad("port: 1\n  user: x", FILE_NAME ":2: port: ", "indented");
	bad("  user: x", AT1 "the line", "indented");
	bad("user:\n- x", FILE_NAME ":2: ", "lists");
	bad("\tuser: x", AT1, "tab");
	bad("user: x\ty", AT1 "user: ", "control character");
	bad("user:\tx:\ty", AT1 "user: ", "colon");
	bad("user", AT1, "`key: value`");
	bad("user = x", AT1, "`key: value`");
	bad("\"user: x", AT1, "`key: value`");
	bad("\"user': x", AT1, "`key: value`");
	bad("'': x", AT1, "`key: value`");
	bad("'usr': x", AT1 "usr: ", "did you mean user?");
	bad("httpPassword=s3cret", AT1, "`key: value`");
	bad("httpPassword:s3cret", AT1 "httpPassword: ", "space");
	bad("port: 1\n---\n", FILE_NAME ":2: ", "`key: value`");
	bad("---\n---\n", FILE_NAME ":2: ", "`key: value`");
	bad("{port: 1}", AT1, "`key: value`");
	bad("listenAddr: [::1]", AT1 "listenAddr: ", "'single' quotes");
	bad("user: - x", AT1 "user: ", "'single' quotes");
	bad("user: *x", AT1 "user: ", "'single' quotes");
	bad("user: |", AT1 "user: ", "'single' quotes");
	bad("httpPassword: a: s3cret", AT1 "httpPassword: ", "colon");
	bad("user: a:", AT1 "user: ", "colon");
	bad("httpPassword: 's3cret", AT1 "httpPassword: ", "closing '");
	bad("httpPassword: \"s3cret\\\"", AT1 "httpPassword: ", "closing \"");
	bad("user: 'a\nb'", AT1 "user: ", "closing '");
	bad("user: 'a' b", AT1 "user: ", "after the closing quote");
	bad("user: 'a'#b", AT1 "user: ", "after the closing quote");
	bad("user: \"\\q\"", AT1 "user: ", "escape");
	bad("user: \"\\", AT1 "user: ", "escape");
	bad("user: \"\\x4", AT1 "user: ", "escape");
	bad("user: \"\\x4g\"", AT1 "user: ", "escape");
	bad("user: \"\\x00\"", AT1 "user: ", "escape");
	bad("user: \"\\0\"", AT1 "user: ", "escape");
	bad("user: \"\\ud800\"", AT1 "user: ", "escape");
	bad("user: \"\\U00110000\"", AT1 "user: ", "escape");
	bad("user: \"a\\nb\"", AT1 "user: ", "control character");
	bad("user: a\001b", AT1, "control character");
	bad("a: b\rc: d", AT1, "control character");
}

/* Tabs that align values, quoted keys, the end of the document: tools and hands
 * write them, and YAML allows them. */
static void other_yaml(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "---\t# a comment\n"
		 "loglevel:\t\tdebug\t# c\n"
		 "port \t:\t0\t\n"
		 "user:\t'x'\t# c\n"
		 "\"httpUser\": \"alice\"\n"
		 "'httpPassword' : a#b\n"
		 "topic:\t# none\n"
		 "... \n"
		 "what is here: does not count\n");
	assert_int_equal(c.loglevel, LOG_L_DEBUG);
	assert_int_equal(c.port, 0);
	assert_string_equal(c.user, "x");
	assert_string_equal(c.http_user, "alice");
	assert_string_equal(c.http_password, "a#b");
	assert_null(c.topic);
	conf_free(&c);
}

static void nul_byte(void **state)
{
	static const char utf16[] = "p\0o\0r\0t\0";
	struct conf c;

	(void)state;
	conf_init(&c);
	assert_int_equal(
	    conf_parse(&c, "f", utf16, sizeof(utf16) - 1, err), -1);
	assert_string_equal(
	    err, "f:1: the line holds a NUL byte: save the file as UTF-8 text");
	conf_free(&c);
}

static void bad_values(void **state)
{
	(void)state;
	bad("port: 65536", AT1 "port: ", "use 0 to 65535");
	bad("port: -1", AT1 "port: ", "whole number");
	bad("port: 1.5", AT1 "port: ", "whole number");
	bad("port: 99999999999999999999", AT1 "port: ", "whole number");
	bad("port: http", AT1 "port: \"http\"", "whole number");
	bad("maxConnections: 0", AT1 "maxConnections: ", "use 1 to");
	bad("socketMode: 0880", AT1 "socketMode: ", "octal");
	bad("socketMode: 1777", AT1 "socketMode: ", "use 0 to 0777");
	bad("allowInsecure: maybe", AT1 "allowInsecure: ", "yes");
	bad("loglevel: loud", AT1 "loglevel: ", "trace debug info");
	bad("apnsEnvironment: test",
	    AT1 "apnsEnvironment: ", "production sandbox");
	bad("mailboxHashes: yes", AT1 "mailboxHashes: ", "auto always never");
	bad("pushType: backround", AT1 "pushType: ", "background");
	bad("pushPriority: 7", AT1 "pushPriority: ", "1 5 10");
	bad("pushPriority: high", AT1 "pushPriority: ", "1 5 10");
	bad("delay: 0.5s", AT1 "delay: ", "whole seconds");
	bad("delay: 500ms", AT1 "delay: ", "whole seconds");
	bad("delay: 2h", AT1 "delay: ", "use 0 to 1h");
	bad("delay: 30x", AT1 "delay: ", "duration");
	bad("delay: -3", AT1 "delay: ", "duration");
	bad("delay: s", AT1 "delay: ", "duration");
	bad("delay: 1h30m", AT1 "delay: ", "duration");
	bad("retryMin: 1.", AT1 "retryMin: ", "duration");
	bad("retryMin: 0.0001s", AT1 "retryMin: ", "duration");
	bad("retryMin: 1ms", AT1 "retryMin: ", "use 10ms to 1h");
	bad("pushExpiration: 99999999999999999999d", AT1, "duration");
	bad("pushExpiration: 9999999999d", AT1, "use 1s to 30d");
	bad("httpUser: a:b", AT1 "httpUser: ", "may not hold :");
}

/* A value may be long, its echo is not; a message is cut, never overrun. */
static void long_ones(void **state)
{
	char text[3000] = "port: ";
	char name[2000];
	struct conf c;

	(void)state;
	memset(text + 6, 'x', 2000);
	bad(text, AT1 "port: ", "whole number");
	assert_true(strlen(err) < 200);
	memset(text, 'k', 2000);
	strcpy(text + 2000, ": 1");
	bad(text, AT1 "kkk", "no such key");
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	conf_init(&c);
	assert_int_equal(conf_parse(&c, name, "x", 1, err), -1);
	assert_int_equal(strlen(err), ERR_MAX - 1);
	conf_free(&c);
}

/* The other daemon's file as its users have it: empty values, brackets, the
 * retired log-in. */
static void carried_over(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "loglevel: warn\n"
		 "databaseFile: /var/lib/xapsd/database.json\n"
		 "listenAddr: '[::1]'\nport: 11619\n"
		 "tlsCertfile:\ntlsKeyfile:\n"
		 "tlsListenAddr: ''\ntlsPort: 11620\n"
		 "checkInterval: 20\ndelay: 30\n"
		 "appleId: me@example.com\nappleIdHashedPassword: 5e884898\n"
		 "certificateFileP12:\nkeyFileP8: key.p8\n");
	assert_int_equal(conf_check(&c, err), 0);
	assert_string_equal(c.listen_addr, "::1");
	assert_null(c.tls_listen_addr);
	assert_null(c.tls_certfile);
	assert_int_equal(c.check_interval_s, 20);
	assert_string_equal(c.apple_id, "me@example.com");
	assert_string_equal(c.apple_id_hashed_password, "5e884898");
	assert_null(c.certificate_file_p12);
	assert_string_equal(c.key_file_p8, "key.p8");
	conf_free(&c);
}

static void command_line(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "port: 1\nhttpPassword: s3cret\nsocketPath: /a\n");
	assert_int_equal(conf_set(&c, "port", "2", err), 0);
	assert_int_equal(conf_set(&c, "port", "3", err), 0);
	assert_int_equal(c.port, 3);
	assert_int_equal(conf_set(&c, "SOCKET", "", err), 0);
	assert_null(c.socket_path);
	assert_int_equal(conf_set(&c, "key", "key.pem", err), 0);
	assert_string_equal(c.certificate_file_pem_key, "key.pem");
	assert_int_equal(conf_set(&c, "certificate", "c.pem", err), 0);
	assert_string_equal(c.certificate_file_pem, "c.pem");
	assert_int_equal(conf_set(&c, "database", "d", err), 0);
	assert_string_equal(c.database_file, "d");
	assert_int_equal(conf_set(&c, "delayTime", "5", err), 0);
	assert_int_equal(c.delay_s, 5);
	assert_int_equal(conf_set(&c, "delayCheckInterval", "7", err), 0);
	assert_int_equal(c.check_interval_s, 7);
	assert_int_equal(conf_set(&c, "httpPassword", "' #x", err), 0);
	assert_string_equal(c.http_password, "' #x");
	assert_int_equal(conf_set(&c, "prot", "2", err), -1);
	assert_string_equal(
	    err, "option --prot: no such key; did you mean port?");
	assert_int_equal(conf_set(&c, "delayTime", "x", err), -1);
	assert_non_null(strstr(err, "option --delayTime: \"x\" is not valid"));
	assert_true(conf_has_key("Socket"));
	assert_false(conf_has_key("sock"));
	assert_false(conf_has_key(""));
	conf_free(&c);
}

/* An empty value on the command line brings the default back. */
static void unset_again(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "port: 1\napnsPort: 2\npushPriority: 5\ntopic: x\ndelay: 1\n"
		 "databaseFile: x\nallowInsecure: yes\n");
	assert_int_equal(conf_set(&c, "port", "", err), 0);
	assert_int_equal(conf_set(&c, "apnsPort", "", err), 0);
	assert_int_equal(conf_set(&c, "pushPriority", "", err), 0);
	assert_int_equal(conf_set(&c, "topic", "", err), 0);
	assert_int_equal(conf_set(&c, "delay", "", err), 0);
	assert_int_equal(conf_set(&c, "databaseFile", "", err), 0);
	assert_int_equal(conf_set(&c, "allowInsecure", "", err), 0);
	assert_int_equal(c.port, 11619);
	assert_int_equal(c.apns_port, 0);
	assert_int_equal(c.push_priority, 0);
	assert_null(c.topic);
	assert_int_equal(c.delay_s, 30);
	assert_string_equal(c.database_file, "/var/lib/xapsd/database.json");
	assert_false(c.allow_insecure);
	conf_free(&c);
}

static void checks(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
		{ "port: 1\nretryMin: 6m", ":2: retryMin: is longer" },
		{ "retryMax: 100ms", ": retryMin: is longer" },
		{ "tlsCertfile: a", ":1: tlsCertfile: tlsKeyfile is missing" },
		{ "tlsKeyfile: a", ":1: tlsKeyfile: tlsCertfile is missing" },
		{ "tlsListenAddr: localhost",
		    ":1: tlsListenAddr: tlsCertfile is missing: set it and "
		    "tlsKeyfile, or leave this out" },
		{ "httpUser: a", ":1: httpUser: the password is missing" },
		{ "httpPassword: a", ":1: httpPassword: httpUser is missing" },
		{ "httpPasswordFile: a", ":1: httpPasswordFile: httpUser" },
		{ "httpUser: u\nhttpPassword: a\nhttpPasswordFile: b",
		    ":3: httpPasswordFile: httpPassword is set too" },
		{ "apnsHost: https://a.example", ":1: apnsHost: \"https:" },
		{ "apnsHost: a.example:443",
		    ":1: apnsHost: \"a.example:443\"" },
		{ "apnsHost: a.example/", ":1: apnsHost: " },
	};
	struct conf c;
	size_t i;

	(void)state;
	NEEDS("tls-listener");
	good(&c,
	    "apnsHost: ::1\nhttpUser: u\nhttpPasswordFile: f\ntlsCertfile: a\n"
	    "tlsKeyfile: a\n");
	assert_int_equal(conf_check(&c, err), 0);
	conf_free(&c);
	/* Empty, or switched off by its port, it is not asked for. */
	good(&c, "tlsListenAddr: ''\n");
	assert_int_equal(conf_check(&c, err), 0);
	conf_free(&c);
	good(&c, "tlsListenAddr: '[::1]'\ntlsPort: 0\n");
	assert_int_equal(conf_check(&c, err), 0);
	conf_free(&c);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		good(&c, cases[i].text);
		assert_int_equal(conf_check(&c, err), -1);
		if (strncmp(err, FILE_NAME, strlen(FILE_NAME)) != 0 ||
		    strncmp(err + strlen(FILE_NAME), cases[i].wanted,
			strlen(cases[i].wanted)) != 0)
			fail_msg("%s: got: %s", cases[i].text, err);
		conf_free(&c);
	}
}

static void blame(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "port: 80\n");
	conf_blame(&c, "port", err, "in use by %s", "x");
	assert_string_equal(err, FILE_NAME ":1: port: in use by x");
	conf_blame(&c, "user", err, "none");
	assert_string_equal(err, FILE_NAME ": user: none");
	assert_int_equal(conf_set(&c, "user", "me", err), 0);
	conf_blame(&c, "user", err, "none");
	assert_string_equal(err, "option --user: none");
	conf_free(&c);
}

static void each_key(void **state)
{
	struct conf c, fresh;
	size_t i;

	(void)state;
	conf_init(&c);
	conf_init(&fresh);
	assert_true(N_KEYS > 40);
	for (i = 0; i < N_KEYS; i++) {
		assert_true(conf_has_key(keys[i].name));
		assert_int_equal(
		    conf_set(&c, keys[i].name, key_default(&keys[i]), err), 0);
	}
	assert_string_equal(c.database_file, fresh.database_file);
	assert_int_equal(c.retry_max_ms, fresh.retry_max_ms);
	assert_int_equal(c.loglevel, fresh.loglevel);
	conf_free(&c);
	conf_free(&fresh);
}

/* certFile and keyFile, of the Go daemon in 2020. */
static void old_keys(void **state)
{
	struct conf c;

	(void)state;
	NEEDS("p12");
	good(&c, "keyfile: k.pem\ncertFile: 'c.pem'\nloglevel: warning\n");
	assert_int_equal(c.old_keys, CONF_OLD_TAKEN);
	assert_string_equal(c.certificate_file_pem, "c.pem");
	assert_string_equal(c.certificate_file_pem_key, "k.pem");
	assert_null(c.tls_certfile);
	assert_int_equal(c.loglevel, LOG_L_WARN);
	conf_free(&c);
	good(&c, "certFile:\nkeyFile: ''\n");
	assert_int_equal(c.old_keys, CONF_OLD_NONE);
	conf_free(&c);
	good(&c, "certFile: c.pem\ncertificateFileP12: new.p12\n");
	assert_int_equal(c.old_keys, CONF_OLD_IGNORED);
	assert_null(c.certificate_file_pem);
	conf_free(&c);
	bad("certFile: a\n\nCERTFILE: b\n",
	    FILE_NAME ":3: certFile: ", "in line 1 already");
	bad("keyFile: [a]\n", FILE_NAME ":1: keyFile: ", "quotes");
	bad("key_file: a\n",
	    FILE_NAME ":1: key_file: ", "did you mean certificateFilePemKey?");
	/* of the command line only */
	bad("certificate: a\n",
	    FILE_NAME ":1: certificate: ", "did you mean certificateFilePem?");
}

static void given(void **state)
{
	struct conf c;

	(void)state;
	good(&c, "port: 1\nlistenAddr:\ndelay: ''\n");
	assert_true(conf_is_given(&c, "port"));
	assert_false(conf_is_given(&c, "listenAddr"));
	assert_false(conf_is_given(&c, "delay"));
	assert_false(conf_is_given(&c, "tlsPort"));
	assert_int_equal(conf_set(&c, "tlsPort", "2", err), 0);
	assert_false(conf_is_given(&c, "tlsPort"));
	conf_free(&c);
}

static void beside(void **state)
{
	struct conf c;
	char *p;

	(void)state;
	good(&c, "");
	p = conf_file_path(&c, "key.p8");
	assert_string_equal(p, "/etc/x/key.p8");
	free(p);
	p = conf_file_path(&c, "keys/key.p8");
	assert_string_equal(p, "/etc/x/keys/key.p8");
	free(p);
	p = conf_file_path(&c, "./key.p8");
	assert_string_equal(p, "./key.p8");
	free(p);
	p = conf_file_path(&c, "../key.p8");
	assert_string_equal(p, "../key.p8");
	free(p);
	conf_free(&c);
	conf_init(&c);
	p = conf_file_path(&c, "key.p8");
	assert_string_equal(p, "key.p8");
	free(p);
	conf_free(&c);
}

static void files(void **state)
{
	char dir[] = "/tmp/conf_test.XXXXXX", path[64], big[70000];
	struct conf c;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.yaml", dir);
	conf_init(&c);
	assert_int_equal(conf_read(&c, path, err), -1);
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(err, "x.yaml: cannot be read: No such file"));
	assert_int_equal(conf_read(&c, dir, err), -1);
	assert_int_equal(errno, EISDIR);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("port: 5\nuser: me", f);
	fclose(f);
	assert_int_equal(conf_read(&c, path, err), 0);
	assert_int_equal(c.port, 5);
	assert_string_equal(c.user, "me");
	f = fopen(path, "w");
	memset(big, '#', sizeof(big));
	fwrite(big, 1, sizeof(big), f);
	fclose(f);
	assert_int_equal(conf_read(&c, path, err), -1);
	assert_non_null(strstr(err, "is larger than"));
	conf_free(&c);
	unlink(path);
	rmdir(dir);
}

/* The sample as installed changes nothing; each of its lines can be used. */
static void sample(void **state)
{
	char text[16384], line[256], shown[16384] = "";
	struct conf c, fresh;
	FILE *f = fopen("xapsd.yaml", "r");
	size_t n;

	(void)state;
	NEEDS("p12");
	NEEDS("tls-listener");
	assert_non_null(f); /* tests run in the top folder */
	while (fgets(line, sizeof(line), f)) {
		assert_true(line[0] == '#' || line[0] == '\n');
		if (line[0] == '#' && line[1] != ' ' && line[1] != '\n')
			strcat(shown, line + 1);
	}
	rewind(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	conf_init(&fresh);
	conf_init(&c);
	assert_int_equal(conf_parse(&c, FILE_NAME, text, n, err), 0);
	assert_int_equal(conf_check(&c, err), 0);
	assert_int_equal(c.port, fresh.port);
	assert_null(c.http_user);
	conf_free(&c);
	good(&c, shown);
	assert_string_equal(c.http_password, "secret");
	assert_string_equal(c.database_file, fresh.database_file);
	assert_int_equal(c.registration_ttl_s, fresh.registration_ttl_s);
	conf_free(&c);
	conf_free(&fresh);
}

/* Every prefix of a file is read or refused in an orderly way. */
static void prefixes(void **state)
{
	static const char text[] = "\xef\xbb\xbf---\nport: 1 # c\n"
				   "user: 'a''b'\ntopic: \"\\u00e9\\\\\"\n"
				   "delay: 1m\nlistenAddr: '[::1]'\r\n";
	struct conf c;
	char *copy;
	size_t n;

	(void)state;
	for (n = 0; n <= sizeof(text) - 1; n++) {
		copy = malloc(n ? n : 1); /* its end is watched by ASan */
		memcpy(copy, text, n);
		conf_init(&c);
		err[0] = '\0';
		if (conf_parse(&c, "f", copy, n, err) < 0)
			assert_int_equal(strncmp(err, "f:", 2), 0);
		conf_free(&c);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_type),
		cmocka_unit_test(other_yaml),
		cmocka_unit_test(scalars),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(nul_byte),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(long_ones),
		cmocka_unit_test(carried_over),
		cmocka_unit_test(command_line),
		cmocka_unit_test(unset_again),
		cmocka_unit_test(checks),
		cmocka_unit_test(blame),
		cmocka_unit_test(each_key),
		cmocka_unit_test(old_keys),
		cmocka_unit_test(given),
		cmocka_unit_test(beside),
		cmocka_unit_test(files),
		cmocka_unit_test(sample),
		cmocka_unit_test(prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
