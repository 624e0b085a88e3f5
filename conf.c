/* conf.c - the table of options, and what their values may be. */
#include "conf.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <strings.h>
#include <unistd.h>

#include "conf/int.h"
#include "features.h"
#include "mem.h"
#include "text.h"

/* Bytes: a whole sample is 6 KB, and line numbers fit in 16 bits. */
#define FILE_MAX 65535

#define LINE_COMMAND UINT16_MAX /* in struct conf.line: not from the file */

enum key_type {
	K_STR,
	K_STR_NONE,    /* an empty value is none, not the default */
	K_SECRET,      /* wiped, and never part of a message */
	K_ADDR,	       /* brackets of an IPv6 address are taken off */
	K_FILE,	       /* for conf_file_path() */
	K_ENUM_STR,    /* char *, one of rule */
	K_BOOL,	       /* one of rule, the odd ones are true */
	K_ENUM_INDEX,  /* int, the place in rule */
	K_ENUM_NUMBER, /* int, one of the numbers in rule */
	K_LEVEL,       /* int, enum log_level */
	K_INT,	       /* int within rule */
	K_OCTAL,       /* unsigned within rule */
	K_S,	       /* int64_t, a duration within rule */
	K_MS,
};

#define YES_NO "no yes false true off on"
#define PUSH_TYPES                                                             \
	"background alert complication controls fileprovider liveactivity "    \
	"location mdm pushtotalk voip widgets"

#define NAME_MAX_LEN 24 /* with its NUL */

/* After its name, and the NUL that ends it, come the default ("": none), and the
 * rule: "min..max", the words, or the bytes that the value may not hold. */
static const struct key {
	const char *name;
	unsigned short off;
	unsigned char type;
} keys[] = {
#define ROW(name, field, type, def, rule)                                      \
	{                                                                      \
		name "\0" def "\0" rule, offsetof(struct conf, field), type    \
	}
/* Only in the files of brandsDir and hooksDir. */
#define OF_BRAND ROW
#define OF_HOOK ROW
	ROW("loglevel", loglevel, K_LEVEL, "info",
	    "trace debug info warn warning error fatal panic"),
	ROW("databaseFile", database_file, K_STR,
	    "/var/lib/xapsd/database.json", ""),
	ROW("socketPath", socket_path, K_STR_NONE, "/run/xapsd/xapsd.sock", ""),
	ROW("socketMode", socket_mode, K_OCTAL, "0660", "0..0777"),
	ROW("socketGroup", socket_group, K_STR, "", ""),
	ROW("listenAddr", listen_addr, K_ADDR, "localhost", ""),
	ROW("port", port, K_INT, "11619", "0..65535"),
	ROW("tlsListenAddr", tls_listen_addr, K_ADDR, "", ""),
	ROW("tlsPort", tls_port, K_INT, "11620", "0..65535"),
	ROW("tlsCertfile", tls_certfile, K_FILE, "", ""),
	ROW("tlsKeyfile", tls_keyfile, K_FILE, "", ""),
	/* RFC 7617 2: a colon ends the user name */
	ROW("httpUser", http_user, K_STR, "", ":"),
	ROW("httpPassword", http_password, K_SECRET, "", ""),
	ROW("httpPasswordFile", http_password_file, K_FILE, "", ""),
	ROW("httpHosts", http_hosts, K_STR, "", "/@,"),
	ROW("allowInsecure", allow_insecure, K_BOOL, "no", YES_NO),
	ROW("maxConnections", max_connections, K_INT, "1024", "1..65535"),
	ROW("maxDevices", max_devices, K_INT, "50", "1..10000"),
	ROW("maxRegistrations", max_registrations, K_INT, "1000000",
	    "1..10000000"),
	ROW("delay", delay_s, K_S, "30s", "0..1h"),
	ROW("checkInterval", check_interval_s, K_S, "20s", "0..365d"),
	ROW("registrationTtl", registration_ttl_s, K_S, "30d", "1s..3650d"),
	ROW("keyFileP8", key_file_p8, K_FILE, "", ""),
	ROW("keyFileKeyId", key_file_key_id, K_STR, "", ""),
	ROW("keyFileTeamId", key_file_team_id, K_STR, "", ""),
	ROW("keyFileTopic", key_file_topic, K_STR, "", ""),
	ROW("certificateFilePem", certificate_file_pem, K_FILE, "", ""),
	ROW("certificateFilePemKey", certificate_file_pem_key, K_FILE, "", ""),
	ROW("certificateFileP12", certificate_file_p12, K_FILE, "", ""),
	ROW("certificatePassword", certificate_password, K_SECRET, "", ""),
	ROW("certificatePasswordFile", certificate_password_file, K_FILE, "",
	    ""),
	ROW("topic", topic, K_STR, "", ""),
	ROW("fcmServiceAccount", fcm_service_account, K_FILE, "", ""),
	OF_BRAND("users", users, K_STR, "", ","),
	/* Webhooks are secrets themselves. */
	OF_HOOK("url", hook_url, K_SECRET, "", ""),
	OF_HOOK(
	    "method", hook_method, K_ENUM_STR, "", "POST PUT GET PATCH DELETE"),
	OF_HOOK("preset", hook_preset, K_ENUM_STR, "",
	    "ntfy gotify homeassistant matrix"),
	OF_HOOK("content", hook_content, K_ENUM_STR, "", "json url text"),
	OF_HOOK("headers", hook_headers, K_SECRET, "", ""),
	OF_HOOK("body", hook_body, K_SECRET, "", ""),
	OF_HOOK("token", hook_token, K_SECRET, "", ""),
	OF_HOOK("tokenFile", hook_token_file, K_FILE, "", ""),
	OF_HOOK("events", hook_events, K_STR, "", ","),
	ROW("brandsDir", brands_dir, K_FILE, "", ""),
	ROW("hooksDir", hooks_dir, K_FILE, "", ""),
	ROW("apnsEnvironment", apns_sandbox, K_BOOL, "production",
	    "production sandbox"),
	ROW("apnsHost", apns_host, K_ADDR, "", ""),
	ROW("apnsPort", apns_port, K_INT, "", "1..65535"),
	ROW("apnsProxy", apns_proxy, K_SECRET, "", ""),
	ROW("apnsCaFile", apns_ca_file, K_FILE, "", ""),
	ROW("caFile", ca_file, K_FILE, "", ""),
	ROW("pushType", push_type, K_ENUM_STR, "background", PUSH_TYPES),
	ROW("pushPriority", push_priority, K_ENUM_NUMBER, "", "1 5 10"),
	ROW("pushExpiration", push_expiration_s, K_S, "24h", "1s..30d"),
	ROW("pushTimeout", push_timeout_ms, K_MS, "30s", "100ms..10m"),
	ROW("pushAllow", push_allow, K_STR, "", ","),
	ROW("retryMin", retry_min_ms, K_MS, "1s", "10ms..1h"),
	ROW("retryMax", retry_max_ms, K_MS, "5m", "10ms..1d"),
	ROW("mailboxHashes", mailbox_hashes, K_ENUM_INDEX, "auto",
	    "auto always never"),
	ROW("sharedStore", shared_store, K_SECRET, "", ""),
	ROW("sharedPasswordFile", shared_password_file, K_FILE, "", ""),
	ROW("sharedCaFile", shared_ca_file, K_FILE, "", ""),
	ROW("sharedPrefix", shared_prefix, K_STR, "xaps:", ""),
	ROW("sharedSentinels", shared_sentinels, K_SECRET, "", ","),
	ROW("sharedMaster", shared_master, K_STR, "", ""),
	ROW("vapidSubject", vapid_subject, K_STR, "", " ,<>\"\\"),
	ROW("fcmUrl", fcm_url, K_STR, "https://fcm.googleapis.com", ""),
	ROW("deltachatUrl", deltachat_url, K_STR, "", ""),
	ROW("user", user, K_STR, "", ""),
	ROW("appleId", apple_id, K_STR, "", ""),
	ROW("appleIdHashedPassword", apple_id_hashed_password, K_SECRET, "",
	    ""),
#undef ROW
#undef OF_BRAND
#undef OF_HOOK
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))
_Static_assert(N_KEYS <= CONF_KEYS_MAX, "struct conf.line is too short");

/* The first generation's names on its command line; before them those in the
 * file that it had in 2020. */
#define N_OLD_KEYS 2
static const struct {
	char old[20];
	unsigned short off; /* as in keys */
} old_names[] = {
	{ "certFile", offsetof(struct conf, certificate_file_pem) },
	{ "keyFile", offsetof(struct conf, certificate_file_pem_key) },
	{ "key", offsetof(struct conf, certificate_file_pem_key) },
	{ "certificate", offsetof(struct conf, certificate_file_pem) },
	{ "database", offsetof(struct conf, database_file) },
	{ "socket", offsetof(struct conf, socket_path) },
	{ "delayTime", offsetof(struct conf, delay_s) },
	{ "delayCheckInterval", offsetof(struct conf, check_interval_s) },
};

#define N_OLD (sizeof(old_names) / sizeof(old_names[0]))

/* --- the table --- */

static const char *key_default(const struct key *k)
{
	return text_next(k->name);
}

static const char *key_rule(const struct key *k)
{
	return text_next(key_default(k));
}

static bool is_name(const char *known, const char *name, size_t len)
{
	return strncasecmp(known, name, len) == 0 && known[len] == '\0';
}

static const struct key *key_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < N_KEYS; i++)
		if (is_name(keys[i].name, name, len))
			return &keys[i];
	return NULL;
}

/* Its place in old_names, N_OLD if it is none. */
static size_t find_old(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < N_OLD; i++)
		if (is_name(old_names[i].old, name, len))
			break;
	return i;
}

static const struct key *key_of_old(size_t i)
{
	const struct key *k = keys;

	while (k->off != old_names[i].off)
		k++;
	return k;
}

static const struct key *key_find_option(const char *name)
{
	size_t len = strlen(name), old = find_old(name, len);

	if (old < N_OLD)
		return key_of_old(old);
	return len < NAME_MAX_LEN ? key_find(name, len) : NULL;
}

/* Bits by enum conf_kind: the files that it may be in.  From keyFileP8 to users
 * they are a brand's, from users to events a hook's. */
static unsigned kinds_of(const struct key *k)
{
	size_t off = k->off, users = offsetof(struct conf, users);

	if (off == users)
		return 1u << CONF_BRAND | 1u << CONF_HOOK;
	if (off == offsetof(struct conf, delay_s))
		return 1u << CONF_MAIN | 1u << CONF_HOOK;
	if (off > users && off <= offsetof(struct conf, hook_events))
		return 1u << CONF_HOOK;
	if (off < users && off >= offsetof(struct conf, key_file_p8))
		return 1u << CONF_MAIN | 1u << CONF_BRAND;
	return 1u << CONF_MAIN;
}

static const char *near_key(enum conf_kind kind, const char *name, size_t len)
{
	size_t i, best = TEXT_TYPOS_MAX(len) + 1;
	const char *near = NULL, *known;

	for (i = 0; i < N_KEYS + N_OLD && len < 2 * NAME_MAX_LEN; i++) {
		if (i < N_KEYS ? !(kinds_of(&keys[i]) >> kind & 1)
			       : kind != CONF_MAIN)
			continue;
		known = i < N_KEYS ? keys[i].name : old_names[i - N_KEYS].old;
		if (text_is_nearer(name, len, known, &best))
			near =
			    i < N_KEYS ? known : key_of_old(i - N_KEYS)->name;
	}
	return near;
}

static int fail_unknown(const struct conf_place *at, enum conf_kind kind,
    const char *name, size_t len)
{
	const char *near = near_key(kind, name, len);

	if (near != NULL)
		return conf_fail(at, "no such key; did you mean %s?", near);
	return conf_fail(at, "no such key; xapsd(8) lists all keys");
}

/* --- values --- */

static void *field(struct conf *c, const struct key *k)
{
	return (char *)c + k->off;
}

static int fail_value(
    const struct conf_place *at, const char *value, const char *wanted)
{
	return conf_fail(at, "\"%.*s\" is not valid: write %s", CONF_SHOWN_MAX,
	    value, wanted);
}

/* The index of a word in a list of words separated by spaces, -1 if it is not
 * there; *word_r is its spelling in the list. */
static int word_index(
    const char *list, const char *word, const char **word_r, size_t *len_r)
{
	size_t len, want = strlen(word);
	int i;

	for (i = 0; *list != '\0'; i++) {
		len = strcspn(list, " ");
		if (len == want && strncasecmp(list, word, len) == 0) {
			*word_r = list;
			*len_r = len;
			return i;
		}
		list += len;
		list += strspn(list, " ");
	}
	return -1;
}

static bool parse_number(const char *s, int base, int64_t *v_r)
{
	char *end;

	/* strtol's signs and spaces are not for us */
	if (*s < '0' || *s > '9' || strlen(s) > 12)
		return false;
	*v_r = (int64_t)strtoll(s, &end, base);
	return *end == '\0';
}

/* Milliseconds of a unit, 0 if it is none. */
static int64_t unit_ms(const char *s)
{
	static const struct {
		char name[3];
		int ms;
	} units[] = {
		{ "", 1000 },
		{ "s", 1000 },
		{ "ms", 1 },
		{ "m", 60 * 1000 },
		{ "h", 3600 * 1000 },
		{ "d", 24 * 3600 * 1000 },
	};
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcasecmp(units[i].name, s) == 0)
			return units[i].ms;
	return 0;
}

/* "30", "1.5s", "200ms", "2 h": in milliseconds. */
static bool parse_duration(const char *s, int64_t *ms_r)
{
	int64_t whole = 0, part = 0, scale = 1, unit;
	const char *p = s;

	for (; *p >= '0' && *p <= '9' && p - s < 10; p++)
		whole = whole * 10 + (*p - '0');
	if (p == s)
		return false;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9' && scale < 1000000; p++) {
			part = part * 10 + (*p - '0');
			scale *= 10;
		}
		if (scale == 1)
			return false;
	}
	p += strspn(p, " ");
	unit = unit_ms(p);
	*ms_r = whole * unit + part * unit / scale;
	return unit != 0 && part * unit % scale == 0;
}

/* A number in the notation of its type; K_S comes in seconds. */
static bool parse_scale(enum key_type type, const char *s, int64_t *v_r)
{
	if (type == K_INT)
		return parse_number(s, 10, v_r);
	if (type == K_OCTAL)
		return parse_number(
		    strncmp(s, "0o", 2) == 0 ? s + 2 : s, 8, v_r);
	if (!parse_duration(s, v_r))
		return false;
	if (type == K_S) {
		if (*v_r % 1000 != 0)
			return false;
		*v_r /= 1000;
	}
	return true;
}

static int set_number(const struct conf_place *at, const struct key *k,
    const char *value, int64_t *v_r)
{
	static const char *const wanted[] = {
		[K_INT] = "a whole number such as 10",
		[K_OCTAL] = "an octal file mode such as 0660",
		[K_S] = "a duration in whole seconds such as 30s, 5m, 12h, 7d",
		[K_MS] = "a duration such as 500ms, 1.5s, 5m, 12h, 7d",
	};
	const char *rule = key_rule(k), *dots = strstr(rule, "..");
	int64_t min, max;
	char first[16];

	if (!parse_scale(k->type, value, v_r))
		return fail_value(at, value, wanted[k->type]);
	snprintf(first, sizeof(first), "%.*s", (int)(dots - rule), rule);
	if (parse_scale(k->type, first, &min) &&
	    parse_scale(k->type, dots + 2, &max) && *v_r >= min && *v_r <= max)
		return 0;
	return conf_fail(at, "%.*s is out of range: use %s to %s",
	    CONF_SHOWN_MAX, value, first, dots + 2);
}

static int set_word(const struct conf_place *at, const struct key *k,
    const char *value, void *to)
{
	const char *word;
	char wanted[160];
	size_t len;
	int i;

	i = word_index(key_rule(k), value, &word, &len);
	if (i < 0) {
		snprintf(wanted, sizeof(wanted), "one of: %s", key_rule(k));
		return fail_value(at, value, wanted);
	}
	switch (k->type) {
	case K_ENUM_STR:
		*(char **)to = xstrndup(word, len);
		break;
	case K_BOOL:
		*(bool *)to = i & 1;
		break;
	case K_ENUM_NUMBER:
		*(int *)to = atoi(word);
		break;
	case K_LEVEL:
		*(int *)to = log_level_by_name(value);
		break;
	default:
		*(int *)to = i;
	}
	return 0;
}

static int set_string(const struct conf_place *at, const struct key *k,
    const char *value, void *to)
{
	const char *rule = key_rule(k);
	size_t i, len = strlen(value);

	/* They end up in file names, headers and log lines. */
	for (i = 0; k->type != K_SECRET && i < len; i++)
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return conf_fail(at,
			    "the value holds a control character: remove it");
	if (strpbrk(value, rule) != NULL)
		return conf_fail(at, "the value may not hold %s", rule);
	if (k->type == K_ADDR && len > 2 && value[0] == '[' &&
	    value[len - 1] == ']') {
		value++;
		len -= 2;
	}
	*(char **)to = xstrndup(value, len);
	return 0;
}

static bool is_string(const struct key *k)
{
	return k->type <= K_ENUM_STR;
}

static void unset(struct conf *c, const struct key *k)
{
	char **s;

	if (!is_string(k))
		return;
	s = field(c, k);
	mem_free_wiped(*s);
	*s = NULL;
}

/* Stores a value that is not empty into an unset field. */
static int set_value(const struct conf_place *at, struct conf *c,
    const struct key *k, const char *value)
{
	void *to = field(c, k);
	int64_t v;

	switch (k->type) {
	case K_STR:
	case K_STR_NONE:
	case K_SECRET:
	case K_ADDR:
	case K_FILE:
		return set_string(at, k, value, to);
	case K_ENUM_STR:
	case K_BOOL:
	case K_ENUM_INDEX:
	case K_ENUM_NUMBER:
	case K_LEVEL:
		return set_word(at, k, value, to);
	}
	if (set_number(at, k, value, &v) < 0)
		return -1;
	if (k->type == K_INT)
		*(int *)to = (int)v;
	else if (k->type == K_OCTAL)
		*(unsigned *)to = (unsigned)v;
	else
		*(int64_t *)to = v;
	return 0;
}

static void set_default(struct conf *c, const struct key *k)
{
	char err[ERR_MAX];
	struct conf_place at = { .err = err };

	if (*key_default(k) != '\0' && set_value(&at, c, k, key_default(k)) < 0)
		abort(); /* a row of the table is wrong; the tests see it */
}

/* value: "" for none */
static int assign(const struct conf_place *at, struct conf *c,
    const struct key *k, const char *value)
{
	const char *def = key_default(k), *lack = NULL;

	if (value[0] != '\0' && strcmp(value, def) != 0)
		lack = features_lack_key(k->name);
	if (lack != NULL)
		return conf_fail(at, "%s", lack);
	unset(c, k);
	c->line[k - keys] = at->file ? (uint16_t)at->line : LINE_COMMAND;
	c->empty[k - keys] = value[0] == '\0';
	if (value[0] != '\0')
		return set_value(at, c, k, value);
	if (is_string(k) || *def != '\0') {
		if (k->type != K_STR_NONE)
			set_default(c, k);
	} else
		*(int *)field(c, k) =
		    0; /* K_INT, K_ENUM_NUMBER: no default is 0 */
	return 0;
}

/* --- the file --- */

struct reading {
	struct conf *c;
	struct yaml y;
	/* the line that had the key, and of 2020's keys; 0: none */
	int line[N_KEYS], old_line[N_OLD_KEYS];
	char *old[N_OLD_KEYS]; /* their values */
};

static int check_place(
    const struct conf_place *at, const struct conf *c, const struct key *k)
{
	unsigned kinds = kinds_of(k);

	if (kinds >> c->kind & 1)
		return 0;
	if (!(kinds >> CONF_MAIN & 1))
		return conf_fail(at,
		    "belongs into a file NAME.yaml in the folder that %s",
		    kinds >> CONF_BRAND & 1
			? "brandsDir names, with the credential of these users"
			: "hooksDir names");
	return conf_fail(at, "a %s: %s%s",
	    c->kind == CONF_BRAND
		? "brand's file holds a credential and users only"
		: "hook's file holds what concerns this hook only",
	    k->off == offsetof(struct conf, user)
		? "is users meant? This one belongs into "
		: "put it into ",
	    c->top->path != NULL ? c->top->path : CONF_PATH_DEFAULT);
}

/* A line below `headers:`. */
static int read_header(struct reading *r, int name_len)
{
	const char *name = r->y.at.key, *value = yaml_value(&r->y);
	char *old = r->c->hook_headers;

	if (value == NULL)
		return -1;
	r->c->hook_headers = xprintf("%s%s%.*s: %s", old != NULL ? old : "",
	    old != NULL ? "\n" : "", name_len, name, value);
	mem_free_wiped(old);
	return 0;
}

static int read_pair(struct reading *r, int key_len)
{
	struct yaml *y = &r->y;
	const char *name = y->at.key, *value;
	const struct key *k = key_find(name, (size_t)key_len);
	size_t old = k == NULL ? find_old(name, (size_t)key_len) : N_OLD;
	int *line;

	if (y->inner)
		return read_header(r, key_len);
	if (k == NULL && (old >= N_OLD_KEYS || r->c->kind != CONF_MAIN))
		return fail_unknown(&y->at, r->c->kind, name, (size_t)key_len);
	y->at.key = k != NULL ? k->name : old_names[old].old;
	y->at.key_len = NAME_MAX_LEN;
	line = k != NULL ? &r->line[k - keys] : &r->old_line[old];
	if (*line != 0)
		return conf_fail(&y->at,
		    "is set in line %d already: remove one of them", *line);
	*line = y->at.line;
	if (k != NULL && check_place(&y->at, r->c, k) < 0)
		return -1;
	/* *@example.org would mean something else to YAML, but not to us. */
	y->stars = k != NULL && k->off == offsetof(struct conf, users);
	value = yaml_value(y);
	if (value == NULL)
		return -1;
	y->block = *value == '\0' && r->c->kind == CONF_HOOK && k != NULL &&
		   k->off == offsetof(struct conf, hook_headers);
	if (k != NULL)
		return assign(&y->at, r->c, k, value);
	return *value != '\0'
		   ? set_string(&y->at, key_of_old(old), value, &r->old[old])
		   : 0;
}

/* They count only if no newer key names a credential, as in their daemon. */
static void take_old(struct reading *r)
{
	struct conf *c = r->c;
	bool newer = c->key_file_p8 || c->certificate_file_pem ||
		     c->certificate_file_pem_key || c->certificate_file_p12;
	const struct key *k;
	size_t i;

	c->old_keys = CONF_OLD_NONE;
	for (i = 0; i < N_OLD_KEYS; i++) {
		if (r->old[i] == NULL)
			continue;
		c->old_keys = newer ? CONF_OLD_IGNORED : CONF_OLD_TAKEN;
		if (newer) {
			free(r->old[i]);
			continue;
		}
		k = key_of_old(i);
		*(char **)field(c, k) = r->old[i];
		c->line[k - keys] = (uint16_t)r->old_line[i];
	}
}

int conf_parse(struct conf *c, const char *name, const char *text, size_t len,
    char err[ERR_MAX])
{
	struct conf_place at = { .file = name, .err = err };
	struct reading r = { .c = c };
	char *copy;
	int rc;

	if (len > FILE_MAX)
		return conf_fail(&at,
		    "is larger than %d bytes: this is not a "
		    "configuration file",
		    FILE_MAX);
	free(c->path);
	c->path = xstrdup(name);
	copy = xmalloc(len + 1);
	memcpy(copy, text, len);
	yaml_open(&r.y, name, copy, len, err);
	do {
		rc = yaml_key(&r.y);
		if (rc > 0)
			rc = read_pair(&r, rc) == 0 ? 1 : -1;
	} while (rc > 0);
	take_old(&r);
	mem_wipe_free(copy, len);
	return rc;
}

static int fail_read(const struct conf_place *at, enum conf_kind kind, int code)
{
	conf_fail(at, "cannot be read: %s%s", err_words(code),
	    code == EACCES ? " (the user xapsd must be able to: chown xapsd "
			     "it && chmod 600 it)"
	    : (code == ENOENT || code == EISDIR) && kind == CONF_MAIN
		? " (-c FILE names another)"
		: "");
	errno = code;
	return -1;
}

int conf_read(struct conf *c, const char *path, char err[ERR_MAX])
{
	struct conf_place at = { .file = path, .err = err };
	struct stat st;
	char *text;
	size_t len;
	FILE *f;
	int rc, code;

	/* The others are read while the daemon runs, where a pipe would stop
	 * it; the main one may be one (-c <(...)). */
	if (c->kind != CONF_MAIN && stat(path, &st) == 0 &&
	    !S_ISREG(st.st_mode))
		return conf_fail(&at, "is not a file: remove it");
	f = fopen(path, "re");
	if (f == NULL)
		return fail_read(&at, c->kind, errno);
	/* stdio's own buffer would keep the passwords */
	setvbuf(f, NULL, _IONBF, 0);
	text = xmalloc(FILE_MAX + 1);
	errno = 0;
	len = fread(text, 1, FILE_MAX + 1, f);
	code = ferror(f) ? errno : 0;
	fclose(f);
	rc = code ? fail_read(&at, c->kind, code)
		  : conf_parse(c, path, text, len, err);
	mem_wipe_free(text, len);
	errno = code;
	return rc;
}

int conf_read_brand(
    struct conf *c, const struct conf *top, const char *path, char err[ERR_MAX])
{
	c->kind = CONF_BRAND;
	c->top = top;
	return conf_read(c, path, err);
}

int conf_read_hook(
    struct conf *c, const struct conf *top, const char *path, char err[ERR_MAX])
{
	c->kind = CONF_HOOK;
	c->top = top;
	return conf_read(c, path, err);
}

const struct conf *conf_top(const struct conf *c)
{
	return c->top != NULL ? c->top : c;
}

/* --- the rest of the interface --- */

void conf_init(struct conf *c)
{
	size_t i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < N_KEYS; i++)
		set_default(c, &keys[i]);
}

void conf_free(struct conf *c)
{
	size_t i;

	for (i = 0; i < N_KEYS; i++)
		unset(c, &keys[i]);
	free(c->path);
	memset(c, 0, sizeof(*c));
}

/* The name of a file that is there is the shell's; others are beside the
 * configuration file. */
static const char *from_shell(const char *value, char path_r[PATH_MAX])
{
	size_t n;

	if (value[0] == '\0' || access(value, F_OK) != 0 ||
	    getcwd(path_r, PATH_MAX) == NULL)
		return value;
	n = strlen(path_r);
	if (n + 1 + strlen(value) >= PATH_MAX)
		return value;
	path_r[n] = '/';
	strcpy(path_r + n + 1, value);
	return path_r;
}

int conf_set(
    struct conf *c, const char *key, const char *value, char err[ERR_MAX])
{
	const struct key *k = key_find_option(key);
	struct conf_place at = { .key = key, .err = err };
	char path[PATH_MAX];

	at.key_len =
	    strlen(key) > CONF_SHOWN_MAX ? CONF_SHOWN_MAX : (int)strlen(key);
	if (k == NULL)
		return fail_unknown(&at, c->kind, key, strlen(key));
	if (*value != '\0' && check_place(&at, c, k) < 0)
		return -1;
	if (k->type == K_FILE && value[0] != '/')
		value = from_shell(value, path);
	return assign(&at, c, k, value);
}

/* Whose values the daemon uses only when it starts (from databaseFile to tlsPort,
 * and user); the others' when they are needed, or when it reloads. */
static bool is_fixed(const struct key *k)
{
	return k->off == offsetof(struct conf, user) ||
	       (k->off >= offsetof(struct conf, database_file) &&
		   k->off <= offsetof(struct conf, tls_port));
}

static size_t field_size(const struct key *k)
{
	switch (k->type) {
	case K_BOOL:
		return sizeof(bool);
	case K_S:
	case K_MS:
		return sizeof(int64_t);
	default:
		return is_string(k) ? sizeof(char *) : sizeof(int);
	}
}

static bool is_same(struct conf *a, struct conf *b, const struct key *k)
{
	const char *x, *y;

	if (!is_string(k))
		return memcmp(field(a, k), field(b, k), field_size(k)) == 0;
	x = *(char **)field(a, k);
	y = *(char **)field(b, k);
	return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

static void swap_field(struct conf *a, struct conf *b, const struct key *k)
{
	uint16_t line = a->line[k - keys];
	char kept[sizeof(int64_t)];
	size_t n = field_size(k);

	memcpy(kept, field(a, k), n);
	memcpy(field(a, k), field(b, k), n);
	memcpy(field(b, k), kept, n);
	a->line[k - keys] = b->line[k - keys];
	b->line[k - keys] = line;
}

void conf_take(struct conf *c, struct conf *fresh, char restart_r[ERR_MAX])
{
	const struct key *k;
	size_t n = 0;

	c->old_keys = fresh->old_keys;
	restart_r[0] = '\0';
	for (k = keys; k < keys + N_KEYS; k++) {
		if (!is_fixed(k)) {
			swap_field(c, fresh, k);
		} else if (!is_same(c, fresh, k) && n < ERR_MAX) {
			n += (size_t)snprintf(restart_r + n, ERR_MAX - n,
			    "%s%s", n > 0 ? ", " : "", k->name);
		}
	}
}

bool conf_differs(struct conf *a, struct conf *b, const char *prefix)
{
	size_t i, n = strlen(prefix);

	for (i = 0; i < N_KEYS; i++)
		if (strncmp(keys[i].name, prefix, n) == 0 &&
		    !is_same(a, b, &keys[i]))
			return true;
	return false;
}

bool conf_has_key(const char *key)
{
	return key_find_option(key) != NULL;
}

const char *conf_string(const struct conf *c, const char *key)
{
	const struct key *k = key_find(key, strlen(key));

	return *(char *const *)(const void *)((const char *)c + k->off);
}

bool conf_is_given(const struct conf *c, const char *key)
{
	size_t i = (size_t)(key_find(key, strlen(key)) - keys);

	return c->line[i] != 0 && c->line[i] != LINE_COMMAND && !c->empty[i];
}

const char *conf_near_key(const char *key)
{
	return near_key(CONF_MAIN, key, strlen(key));
}

bool conf_holds_secret(const struct conf *c)
{
	const char *secret;
	size_t i;

	for (i = 0; i < N_KEYS; i++) {
		memcpy(&secret, (const char *)c + keys[i].off, sizeof(secret));
		if (keys[i].type == K_SECRET && secret != NULL &&
		    ((secret != c->apns_proxy && secret != c->shared_store &&
			 secret != c->shared_sentinels) ||
			strchr(secret, '@') != NULL) &&
		    c->line[i] != 0 && c->line[i] != LINE_COMMAND)
			return true;
	}
	return false;
}

void conf_blame(const struct conf *c, const char *key, char err[ERR_MAX],
    const char *fmt, ...)
{
	const struct key *k = key_find(key, strlen(key));
	uint16_t line = k ? c->line[k - keys] : 0;
	struct conf_place at = {
		.key = key, .key_len = CONF_SHOWN_MAX, .err = err
	};
	va_list ap;

	if (line != LINE_COMMAND) {
		at.file = c->path ? c->path : CONF_PATH_DEFAULT;
		at.line = line;
	}
	va_start(ap, fmt);
	conf_vfail(&at, fmt, ap);
	va_end(ap);
}

/* A URL, or a name with a port: an IPv6 address has several colons. */
static bool is_no_host(const char *host)
{
	const char *colon = strchr(host, ':');

	return strpbrk(host, "/@ ") != NULL ||
	       (colon != NULL && strchr(colon + 1, ':') == NULL);
}

int conf_check(const struct conf *c, char err[ERR_MAX])
{
	bool password = c->http_password || c->http_password_file;

	if (c->retry_min_ms > c->retry_max_ms)
		conf_blame(c, "retryMin", err,
		    "is longer than retryMax: make it shorter");
	else if (c->tls_certfile && !c->tls_keyfile)
		conf_blame(c, "tlsCertfile", err,
		    "tlsKeyfile is missing: set it to the certificate's key "
		    "(it may be the same file)");
	else if (c->tls_keyfile && !c->tls_certfile)
		conf_blame(c, "tlsKeyfile", err,
		    "tlsCertfile is missing: set it to the key's certificate");
	else if (c->tls_listen_addr && !c->tls_certfile && c->tls_port != 0)
		conf_blame(c, "tlsListenAddr", err,
		    "tlsCertfile is missing: set it and tlsKeyfile, or leave "
		    "this out");
	else if (c->http_password && c->http_password_file)
		conf_blame(c, "httpPasswordFile", err,
		    "httpPassword is set too: remove one of them");
	else if (c->http_user && !password)
		conf_blame(c, "httpUser", err,
		    "the password is missing: set httpPassword or "
		    "httpPasswordFile");
	else if (password && !c->http_user)
		conf_blame(c,
		    c->http_password ? "httpPassword" : "httpPasswordFile", err,
		    "httpUser is missing: set it to the user's name");
	else if (c->apns_host && is_no_host(c->apns_host))
		conf_blame(c, "apnsHost", err,
		    "\"%.60s\" is not a name or address alone: leave out "
		    "https:// and a port, which is apnsPort",
		    c->apns_host);
	else
		return 0;
	return -1;
}

char *conf_file_path(const struct conf *c, const char *name)
{
	const char *slash = c->path ? strrchr(c->path, '/') : NULL;

	if (name[0] == '/' || strncmp(name, "./", 2) == 0 ||
	    strncmp(name, "../", 3) == 0 || slash == NULL)
		return xstrdup(name);
	return xprintf("%.*s/%s", (int)(slash - c->path), c->path, name);
}
