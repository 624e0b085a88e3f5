/* hook/template.c - texts with {user}, {mailbox} and so on. */
#include "hook/int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "text.h"

static const char words[][8] = {
	"user",
	"mailbox",
	"event",
	"unseen",
	"title",
	"id",
};

enum {
	USER,
	MAILBOX,
	EVENT,
	UNSEEN,
	TITLE,
	ID,
	N_WORDS,
};

/* At a '{': which word it is, N_WORDS for another, -1 if there is none.  *len_r
 * includes the braces. */
static int find_word(const char *p, size_t *len_r)
{
	size_t len = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz");
	int i = 0;

	if (len == 0 || p[1 + len] != '}')
		return -1;
	*len_r = len + 2;
	while (i < N_WORDS &&
	       (strlen(words[i]) != len || memcmp(words[i], p + 1, len) != 0))
		i++;
	return i;
}

const char *hook_template_stray(const char *text)
{
	size_t len;

	while ((text = strchr(text, '{')) != NULL &&
	       find_word(text, &len) != N_WORDS)
		text++;
	return text;
}

static const char *value_of(
    int word, const struct hook_event *e, char number[24])
{
	switch (word) {
	case USER:
		return e->user;
	case MAILBOX:
		return e->mailbox;
	case EVENT:
		return e->name;
	case TITLE:
		return strcmp(e->name, HOOK_NEW) == 0 ? "New mail"
						      : "Mail changed";
	case ID:
		snprintf(number, 24, "%016" PRIx64, e->id);
		return number;
	default:
		number[0] = '\0';
		if (e->unseen >= 0)
			snprintf(number, 24, "%" PRId64, e->unseen);
		return number;
	}
}

static void write_json(struct buf *b, const char *value, bool quoted)
{
	size_t at = b->len;

	if (!json_write_str(b, value) || !quoted)
		return;
	b->len -= 2;
	memmove(buf_head(b) + at, buf_head(b) + at + 1, b->len - at);
}

static void write_url(struct buf *b, const char *value)
{
	size_t n;

	for (;; value++) {
		n = text_span(value, "-._~"); /* RFC 3986 2.3 */
		buf_add(b, value, n);
		value += n;
		if (*value == '\0')
			return;
		buf_add_fmt(b, "%%%02X", (unsigned char)*value);
	}
}

static void write_header(struct buf *b, const char *value)
{
	unsigned char c;

	for (; (c = (unsigned char)*value) != '\0'; value++)
		buf_add_byte(b, c < 0x20 || c == 0x7f ? '?' : c);
}

static void write_word(struct buf *b, int word, enum hook_escape how,
    bool quoted, const struct hook_event *e)
{
	char number[24], cut[HOOK_NAME_MAX + 1];
	const char *value = value_of(word, e, number);
	size_t n = strlen(value);

	if (n > HOOK_NAME_MAX) {
		n = HOOK_NAME_MAX;
		while ((value[n] & 0xc0) == 0x80) /* not inside a character */
			n--;
		memcpy(cut, value, n);
		cut[n] = '\0';
		value = cut;
	}
	if (how == HOOK_JSON && word == UNSEEN && !quoted)
		buf_add_str(b, *value != '\0' ? value : "null");
	else if (how == HOOK_JSON)
		write_json(b, value, quoted);
	else if (how == HOOK_URL)
		write_url(b, value);
	else if (how == HOOK_HEADER)
		write_header(b, value);
	else
		buf_add_str(b, value);
}

bool hook_template_write(struct buf *b, const char *text, enum hook_escape how,
    const struct hook_event *e)
{
	bool quoted = false;
	size_t len;
	int word;

	for (; *text != '\0'; text += len) {
		len = 1;
		word = *text == '{' ? find_word(text, &len) : -1;
		if (word >= 0 && word < N_WORDS) {
			write_word(b, word, how, quoted, e);
			continue;
		}
		if (*text == '"')
			quoted = !quoted;
		else if (*text == '\\' && text[1] != '\0' && how == HOOK_JSON)
			len = 2;
		buf_add(b, text, len);
	}
	return !b->failed;
}
