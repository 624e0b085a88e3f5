/* hook.c - what a hook's file says, and the requests that come of it. */
#include "hook/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf.h"
#include "cred.h"
#include "json.h"
#include "mem.h"
#include "store.h"
#include "text.h"
#include "users.h"

/* A path and headers fit into one frame that every server takes (h2.h). */
#define HEAD_MAX (H2_REQUEST_HEADERS_MAX - 1024)
/* Of services for messages the largest limit is Matrix's, 64 KiB. */
#define BODY_MAX (64 * 1024)

struct hook {
	const struct conf *conf;
	char *name;
	struct url url;
	const struct preset *preset;
	const struct content *content;
	const char *method, *body; /* body NULL: none */
	char *path;		   /* template */
	/* Template: "\nname: value" of each header, and a NUL. */
	struct buf head;
	struct users *users; /* NULL: all */
};

/* --- tables --- */

static const struct content {
	char name[5];
	unsigned char escape;
	const char *type, *body;
} contents[] = {
	{ "json", HOOK_JSON, "application/json",
	    "{\"user\":{user},\"mailbox\":{mailbox},\"event\":{event},"
	    "\"unseen\":{unseen}}" },
	{ "url", HOOK_URL, "application/x-www-form-urlencoded",
	    "user={user}&mailbox={mailbox}&event={event}&unseen={unseen}" },
	{ "text", HOOK_TEXT, "text/plain; charset=utf-8",
	    "{title}: {user}, {mailbox}" },
};

#define ROOM "/_matrix/client/v3/rooms"

static const struct preset {
	const char *name;
	const char *root;   /* the path, if the URL has none; NULL: refused, */
	const char *wants;  /* since it has to name this */
	const char *prefix; /* put before the path, unless it begins so */
	const char *suffix; /* and after it */
	const char *method;
	const char *token; /* the header for it */
	enum {
		OPTIONAL,
		NEEDED_AT_ROOT,
		NEEDED
	} token_is;
	unsigned char content; /* its place in contents */
	const char *headers, *body;
} presets[] = {
	{ "", "/", NULL, "", "", "POST", "authorization: Bearer ", OPTIONAL, 0,
	    "", NULL },
	{ "ntfy", NULL, "TOPIC", "", "", "POST", "authorization: Bearer ",
	    OPTIONAL, 2, "title: {title}\ntags: envelope\n",
	    "{user}: {mailbox}" },
	{ "gotify", "", NULL, "", "/message", "POST", "x-gotify-key: ", NEEDED,
	    0, "",
	    "{\"title\":{title},\"message\":\"{user}: {mailbox}\","
	    "\"priority\":5}" },
	{ "homeassistant", "/api/services/notify/notify", NULL, "", "", "POST",
	    "authorization: Bearer ", NEEDED_AT_ROOT, 0, "",
	    "{\"title\":{title},\"message\":\"{user}: {mailbox}\","
	    "\"data\":{\"user\":{user},\"mailbox\":{mailbox},"
	    "\"event\":{event},\"unseen\":{unseen}}}" },
	{ "matrix", NULL, "!ROOM", ROOM, "/send/m.room.message/{id}", "PUT",
	    "authorization: Bearer ", NEEDED, 0, "",
	    "{\"msgtype\":\"m.text\","
	    "\"body\":\"{title}: {user}, {mailbox}\"}" },
};

/* Of a list of words, separated by blanks. */
static bool has_word(const char *list, const char *word, size_t len)
{
	size_t n;

	for (; *list != '\0'; list += n + strspn(list + n, " \t")) {
		n = strcspn(list, " \t");
		if (n == len && strncasecmp(list, word, len) == 0)
			return true;
	}
	return false;
}

/* -1: with a {word} that means nothing. */
static int check_words(
    const struct hook *h, const char *key, const char *text, char err[ERR_MAX])
{
	const char *stray = hook_template_stray(text);

	if (stray == NULL)
		return 0;
	conf_blame(h->conf, key, err,
	    "%.*s means nothing: {user}, {mailbox}, {event}, {unseen}, "
	    "{title} and {id} can be used",
	    (int)strcspn(stray, "}") + 1, stray);
	return -1;
}

/* --- the URL --- */

/* The template of the path, NULL if the preset wants one and the URL has none. */
static char *make_path(const struct preset *p, const char *path, bool bare)
{
	size_t n = strcspn(path, "?"), query = n, suffix = strlen(p->suffix);
	struct buf out = BUF_INIT(2 * URL_MAX);

	if (bare) {
		if (p->root == NULL)
			return NULL;
		path = p->root;
		n = query = strlen(path);
	} else if (suffix > 0 && path[n - 1] == '/') {
		n--;
	}
	if (strncmp(path, p->prefix, strlen(p->prefix)) != 0)
		buf_add_str(&out, p->prefix);
	buf_add(&out, path, n);
	if (n < suffix || strncmp(path + n - suffix, p->suffix, suffix) != 0)
		buf_add(&out, p->suffix, suffix);
	buf_add(&out, path + query, strlen(path + query) + 1);
	return (char *)buf_head(&out);
}

static int read_url(struct hook *h, char err[ERR_MAX])
{
	const struct conf *c = h->conf;
	const struct preset *p = h->preset;
	char why[ERR_MAX];
	bool bare;

	if (c->hook_url == NULL || url_parse(c->hook_url, &h->url, why) < 0) {
		conf_blame(c, "url", err, "%s",
		    c->hook_url != NULL ? why
					: "is missing: set it to the address "
					  "that is to be called");
		return -1;
	}
	bare = strcmp(h->url.path, "/") == 0;
	h->path = make_path(p, h->url.path, bare);
	if (h->path == NULL)
		conf_blame(c, "url", err, "names no %s: write https://HOST/%s",
		    p->wants, p->wants);
	else if (p->token_is + bare > 1 && c->hook_token == NULL &&
		 c->hook_token_file == NULL)
		conf_blame(c, "token", err,
		    "is missing: set it, or tokenFile, to the one that the "
		    "service gives to programs");
	else
		return check_words(h, "url", h->path, err);
	return -1;
}

/* --- headers --- */

/* What belongs to the connection, or is made by it. */
static const char forbidden[] = "host content-length connection te upgrade "
				"transfer-encoding keep-alive expect trailer";

/* Besides letters and digits (RFC 9110 5.6.2). */
static const char token_chars[] = "!#$%&'*+-.^_`|~";

static const char *check_header(const char *line, size_t name, size_t len)
{
	size_t i;

	if (name == 0 || line[name] != ':')
		return "a line is not of the form `Name: value`";
	if (has_word(forbidden, line, name))
		return "Host and what concerns the connection are made by "
		       "xapsd: leave them out";
	for (i = name; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			return "a control character is in it: remove it";
	return NULL;
}

/* Appends "\nname: value", unless there is one of that name. */
static void add_header(
    struct hook *h, const char *line, size_t name, size_t len)
{
	const char *value = line + name + 1, *end = line + len;
	size_t at = h->head.len, i;

	buf_add_byte(&h->head, '\n');
	for (i = 0; i < name; i++)
		buf_add_byte(&h->head, (unsigned char)text_lower(line[i]));
	buf_add_str(&h->head, ": ");
	if (at > 0 && memmem(h->head.mem, at, h->head.mem + at, name + 3)) {
		h->head.len = at;
		return;
	}
	while (value < end && *value == ' ')
		value++;
	while (end > value && end[-1] == ' ')
		end--;
	buf_add(&h->head, value, (size_t)(end - value));
}

/* Each line. */
static int add_headers(struct hook *h, const char *line, char err[ERR_MAX])
{
	const char *why;
	size_t len, name, n = 0;

	for (; *line != '\0'; line += len + (line[len] != '\0')) {
		len = strcspn(line, "\n");
		name = text_span(line, token_chars);
		why = len > 0 ? check_header(line, name, len) : NULL;
		if (++n > HOOK_HEADERS_MAX - 10)
			why = "these are too many";
		if (why != NULL) {
			conf_blame(h->conf, "headers", err, "%s", why);
			return -1;
		}
		if (len > 0)
			add_header(h, line, name, len);
	}
	return 0;
}

static int read_headers(struct hook *h, char err[ERR_MAX])
{
	const char *own = h->conf->hook_headers;
	char type[64];

	if (own != NULL && (check_words(h, "headers", own, err) < 0 ||
			       add_headers(h, own, err) < 0))
		return -1;
	snprintf(type, sizeof(type), "content-type: %s\nuser-agent: xapsd",
	    h->content->type);
	add_headers(h, h->preset->headers, err);
	return add_headers(h, h->body != NULL ? type : strchr(type, '\n'), err);
}

/* --- the body --- */

static const struct content *content_by_name(const char *name)
{
	const struct content *c = contents;

	while (strcmp(c->name, name) != 0)
		c++;
	return c;
}

static int read_body(struct hook *h, char err[ERR_MAX])
{
	const struct conf *c = h->conf;
	const struct preset *p = h->preset;

	h->method = c->hook_method != NULL ? c->hook_method : p->method;
	h->content = c->hook_content != NULL ? content_by_name(c->hook_content)
					     : &contents[p->content];
	h->body = c->hook_body != NULL ? c->hook_body
		  : c->hook_content == NULL && p->body != NULL
		      ? p->body
		      : h->content->body;
	if (strcmp(h->method, "GET") != 0)
		return check_words(h, "body", h->body, err);
	h->body = NULL;
	if (c->hook_body == NULL)
		return 0;
	conf_blame(c, "body", err,
	    "a GET has none: put it into url, such as ?user={user}, or use "
	    "another method");
	return -1;
}

/* --- whom it concerns --- */

/* Those that our plugin sends; others may send more, for "all". */
static const char events[] = HOOK_NEW
    " MessageNew MessageAppend MessageExpunge MessageRead MessageTrash "
    "FlagsSet FlagsClear all";

static int read_events(struct hook *h, char err[ERR_MAX])
{
	const char *word = h->conf->hook_events;
	size_t len;

	for (; word != NULL && *word != '\0'; word += len) {
		word += strspn(word, " \t");
		len = strcspn(word, " \t");
		if (len == 0 || has_word(events, word, len))
			continue;
		conf_blame(h->conf, "events", err,
		    "\"%.*s\" is not an event: write some of: %s",
		    len > 40 ? 40 : (int)len, word, events);
		return -1;
	}
	return 0;
}

bool hook_wants(const struct hook *h, const char *user, const char *event)
{
	const char *list = h->conf->hook_events;
	bool is_new = strcmp(event, HOOK_NEW) == 0;

	if (h->users != NULL && users_find(h->users, user) == 0)
		return false;
	if (list == NULL)
		return is_new;
	return has_word(list, event, strlen(event)) ||
	       has_word(list, "all", 3) ||
	       (is_new && has_word(list, "MessageNew", 10));
}

/* --- the owner's --- */

/* With the longest names: whether it fits, and is JSON. */
static int try_it(struct hook *h, char err[ERR_MAX])
{
	char names[HOOK_NAME_MAX + 1];
	const struct hook_event e = { .user = names + sizeof(names) - 1 -
					      REG_USER_MAX,
		.mailbox = names,
		.name = "MailboxUnsubscribe",
		.unseen = INT64_MAX };
	struct hook_request r = { .n = 0 };
	struct json_err je;
	int rc = -1;

	memset(names, '"', sizeof(names) - 1);
	names[sizeof(names) - 1] = '\0';
	if (!hook_build(h, &e, &r))
		conf_blame(h->conf, r.head.failed ? "headers" : "body", err,
		    "is too long, with url and names in it: %d bytes are the "
		    "most",
		    (int)(r.head.failed ? r.head.max : r.body.max));
	else if (h->body != NULL && h->content->escape == HOOK_JSON &&
		 json_parse(
		     (const char *)r.body.mem, r.body.len, NULL, 0, &je) < 0)
		conf_blame(h->conf, "body", err,
		    "is not JSON: %s; content: text sends it as it is",
		    je.reason);
	else
		rc = 0;
	hook_request_free(&r);
	return rc;
}

static const struct preset *preset_by_name(const char *name)
{
	const struct preset *p = presets;

	while (name != NULL && strcmp(p->name, name) != 0)
		p++;
	return p;
}

struct hook *hook_new(
    const struct conf *conf, const char *name, char err[ERR_MAX])
{
	struct hook *h = xcalloc(1, sizeof(*h));

	h->conf = conf;
	h->name = xstrdup(name);
	h->preset = preset_by_name(conf->hook_preset);
	h->head.max = HEAD_MAX;
	if (conf->users != NULL) {
		h->users = users_new();
		users_add(h->users, conf->users, 1);
	}
	if (read_url(h, err) == 0 && read_body(h, err) == 0 &&
	    read_events(h, err) == 0 && read_headers(h, err) == 0) {
		buf_add_byte(&h->head, '\0');
		if (try_it(h, err) == 0)
			return h;
	}
	hook_free(h);
	return NULL;
}

static int read_token(
    struct hook *h, const char **token_r, char **own_r, char err[ERR_MAX])
{
	static const char key[] = "tokenFile";
	const struct conf *c = h->conf;
	const char *p;

	if (c->hook_token != NULL && c->hook_token_file != NULL) {
		conf_blame(c, key, err, "token is set too: remove one of them");
		return -1;
	}
	*token_r = c->hook_token;
	if (c->hook_token_file != NULL) {
		*own_r = cred_read_password(c, key, c->hook_token_file, err);
		if (*own_r == NULL)
			return -1;
		*token_r = *own_r;
	}
	if (*token_r == NULL)
		return 0;
	for (p = *token_r; *p > ' ' && *p < 0x7f; p++)
		;
	if (p > *token_r && *p == '\0')
		return 0;
	conf_blame(c, *own_r != NULL ? key : "token", err,
	    "is empty, or has a character in it that no token has");
	return -1;
}

int hook_load(struct hook *h, char err[ERR_MAX])
{
	const char *token;
	char *own = NULL, *line;
	int rc = read_token(h, &token, &own, err);

	if (rc == 0 && token != NULL) {
		line = xprintf("%s%s", h->preset->token, token);
		h->head.len--;
		add_header(h, line, strcspn(line, ":"), strlen(line));
		buf_add_byte(&h->head, '\0');
		mem_free_wiped(line);
	}
	mem_free_wiped(own);
	return rc;
}

static void free_buf(struct buf *b)
{
	if (b->mem != NULL)
		mem_wipe(b->mem, b->cap);
	buf_free(b);
}

void hook_free(struct hook *h)
{
	if (h == NULL)
		return;
	users_free(h->users);
	mem_free_wiped(h->path);
	free_buf(&h->head);
	free(h->name);
	free(h);
}

const char *hook_name(const struct hook *h)
{
	return h->name;
}

const struct url *hook_url(const struct hook *h)
{
	return &h->url;
}

int64_t hook_delay_ms(const struct hook *h)
{
	const struct conf *c = h->conf;

	return (conf_is_given(c, "delay") ? c : conf_top(c))->delay_s * 1000;
}

/* --- requests --- */

static void add_field(struct hook_request *r, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	r->list[r->n++] = (struct hpack_header){ .name = name,
		.name_len = name_len,
		.value = value,
		.value_len = value_len,
		.index = HPACK_TRY_INDEX };
}

static void add_text(
    struct hook_request *r, const char *name, const char *value)
{
	add_field(r, name, strlen(name), value, strlen(value));
}

/* Of a buffer that holds the path and "\nname: value" for each header. */
static void split_head(const struct hook *h, struct hook_request *r)
{
	char *p = (char *)buf_head(&r->head), *end = p + r->head.len, *eol,
	     *colon;

	r->n = 0;
	add_text(r, ":method", h->method);
	add_text(r, ":scheme", h->url.tls ? "https" : "http");
	eol = memchr(p, '\n', r->head.len);
	add_field(r, ":path", 5, p, (size_t)(eol - p));
	add_text(r, ":authority", h->url.authority);
	for (p = eol; p < end; p = eol) {
		p++;
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL)
			eol = end;
		colon = memchr(p, ':', (size_t)(eol - p));
		add_field(r, p, (size_t)(colon - p), colon + 2,
		    (size_t)(eol - colon - 2));
	}
}

bool hook_build(
    const struct hook *h, const struct hook_event *e, struct hook_request *r)
{
	bool ok;

	r->head.max = HEAD_MAX;
	r->body.max = BODY_MAX;
	buf_reset(&r->head);
	buf_reset(&r->body);
	ok = hook_template_write(&r->head, h->path, HOOK_URL, e) &&
	     hook_template_write(
		 &r->head, (const char *)h->head.mem, HOOK_HEADER, e) &&
	     (h->body == NULL ||
		 hook_template_write(&r->body, h->body, h->content->escape, e));
	if (ok)
		split_head(h, r);
	return ok;
}

void hook_request_free(struct hook_request *r)
{
	free_buf(&r->head);
	free_buf(&r->body);
}
