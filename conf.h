/* conf.h - the `key: value` file and the option table, into struct conf.
 * Every key is one row of one table in conf.c.
 *
 * The file is a flat subset of YAML: one `key: value` a line with a plain,
 * 'single' or "double" quoted value, comments, an optional `---`.  Keys are
 * case-insensitive; a key without a value is as if it were not there. */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define CONF_PATH_DEFAULT "/etc/xapsd/xapsd.yaml"

#define CONF_KEYS_MAX 96 /* rows of the table at most */

/* Whose file it is: each has keys of its own. */
enum conf_kind {
	CONF_MAIN,
	CONF_BRAND, /* in brandsDir */
	CONF_HOOK,  /* in hooksDir */
};

enum conf_hashes {
	HASHES_AUTO,
	HASHES_ALWAYS,
	HASHES_NEVER,
};

/* certFile and keyFile, of the Go daemon's file in 2020 */
enum conf_old {
	CONF_OLD_NONE,
	CONF_OLD_TAKEN,	  /* as certificateFilePem, certificateFilePemKey */
	CONF_OLD_IGNORED, /* a newer key names a credential */
};

/* Strings are owned, NULL when unset.  Names are those of the keys. */
struct conf {
	char *path;   /* the file read, for names beside it */
	int loglevel; /* enum log_level */
	/* From here to tls_port, and user: used only at a start. */
	char *database_file;
	char *socket_path; /* NULL: none */
	unsigned socket_mode;
	char *socket_group;
	char *listen_addr;     /* "localhost": 127.0.0.1 and ::1 */
	int port;	       /* 0: none */
	char *tls_listen_addr; /* NULL: localhost */
	int tls_port;
	char *tls_certfile, *tls_keyfile;
	char *http_user, *http_password, *http_password_file;
	char *http_hosts; /* our names, separated by spaces */
	bool allow_insecure;
	int max_connections;
	int max_devices, max_registrations;
	int64_t delay_s;
	int64_t check_interval_s; /* accepted and ignored */
	int64_t registration_ttl_s;
	char *key_file_p8, *key_file_key_id, *key_file_team_id, *key_file_topic;
	char *certificate_file_pem, *certificate_file_pem_key;
	char *certificate_file_p12;
	char *certificate_password, *certificate_password_file;
	char *topic;
	char *fcm_service_account;
	/* Only in a brand's or hook's file: patterns, separated by spaces */
	char *users;
	/* Only in a hook's file. */
	char *hook_url, *hook_method, *hook_preset, *hook_content;
	char *hook_headers; /* lines of `Name: value` */
	char *hook_body, *hook_token, *hook_token_file;
	char *hook_events; /* separated by spaces */
	char *brands_dir;  /* NULL: none */
	char *hooks_dir;   /* NULL: none */
	bool apns_sandbox;
	char *apns_host;    /* NULL: by environment */
	int apns_port;	    /* 0: by environment */
	char *apns_proxy;   /* a URL; NULL: none */
	char *apns_ca_file; /* NULL: the built-in roots */
	char *ca_file;	    /* for all others; NULL: this machine's */
	char *push_type;
	int push_priority; /* 0: no header */
	int64_t push_expiration_s;
	int64_t push_timeout_ms;
	char *push_allow; /* separated by spaces; NULL: only the internet */
	int64_t retry_min_ms, retry_max_ms;
	int mailbox_hashes; /* enum conf_hashes */
	char *shared_store; /* a URL; NULL: none */
	char *shared_password_file, *shared_ca_file, *shared_prefix;
	char *shared_sentinels; /* separated by spaces */
	char *shared_master;
	char *vapid_subject;
	char *fcm_url, *deltachat_url; /* the latter NULL: none */
	char *user;
	char *apple_id, *apple_id_hashed_password; /* retired */
	enum conf_old old_keys;
	enum conf_kind kind;
	/* Of a brand's or hook's file: the main configuration, which has all
	 * other keys; else NULL.  conf_top() is for all. */
	const struct conf *top;

	/* Where each row of the table was set, for conf_blame(): a line of the
	 * file, 0 not at all, UINT16_MAX on the command line. */
	uint16_t line[CONF_KEYS_MAX];
	bool empty[CONF_KEYS_MAX]; /* set there, but to nothing */
};

/* Every field at its default. */
void conf_init(struct conf *c);
/* Passwords are wiped.  The conf is all zero afterwards. */
void conf_free(struct conf *c);

/* Reads the file over what is there.  -1 with err "file:line: key: what is
 * wrong and what to do", and errno set if the file could not be read, else
 * 0. */
int conf_read(struct conf *c, const char *path, char err[ERR_MAX]);
/* The same for text in memory (tests and fuzzers); name is used in messages. */
int conf_parse(struct conf *c, const char *name, const char *text, size_t len,
    char err[ERR_MAX]);
/* The same for a brand's file, which holds a credential and users only; for the
 * rest there is top, borrowed. */
int conf_read_brand(struct conf *c, const struct conf *top, const char *path,
    char err[ERR_MAX]);
/* The same for a hook's file, in which `headers` may also be a block: lines of
 * `Name: value` that are indented. */
int conf_read_hook(struct conf *c, const struct conf *top, const char *path,
    char err[ERR_MAX]);
const struct conf *conf_top(const struct conf *c);
/* One key as if it were in the file, for the command line: call it after
 * conf_read(), the last one wins.  The value is taken as it is, without YAML's
 * quoting; the name of a file that exists is the shell's, not one beside the
 * configuration file.  Besides the keys it knows the option names of the first
 * generation (key certificate database socket delayTime delayCheckInterval).
 * -1 with err "option --key: what is wrong and what to do". */
int conf_set(
    struct conf *c, const char *key, const char *value, char err[ERR_MAX]);
/* Whether conf_set() knows this name. */
bool conf_has_key(const char *key);
/* The key that this name may be a misspelling of, or NULL. */
const char *conf_near_key(const char *key);

/* Takes from fresh (read again) every key that may change while the daemon
 * runs; the old values are left in fresh.  restart_r: the names of the others
 * that differ, "" if none. */
void conf_take(struct conf *c, struct conf *fresh, char restart_r[ERR_MAX]);

/* Whether a key whose name begins so has different values. */
bool conf_differs(struct conf *a, struct conf *b, const char *prefix);

/* What only several keys together show (retryMin over retryMax, half of a
 * pair); for after the last conf_set().  0, or -1 with err as above. */
int conf_check(const struct conf *c, char err[ERR_MAX]);
/* Writes err for a key whose value proves to be bad later (a file that cannot
 * be read, an address in use): "file:line: key: …", "option --key: …", or
 * "file: key: …" if it was not set. */
void conf_blame(const struct conf *c, const char *key, char err[ERR_MAX],
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The value of a key that is a string, NULL if it is unset. */
const char *conf_string(const struct conf *c, const char *key);
/* Whether the file gives the key a value. */
bool conf_is_given(const struct conf *c, const char *key);
/* Whether the file itself holds a password. */
bool conf_holds_secret(const struct conf *c);

/* The path of a file named in the configuration: below the folder of the
 * configuration file, unless it begins with '/', "./" or "../".  Caller
 * frees. */
char *conf_file_path(const struct conf *c, const char *name);

#endif
