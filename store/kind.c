/* store/kind.c - what kind of file the database is: ours, the Go daemon's, as a
 * person may have edited them, or something that is not to be touched. */
#include "store/int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define HEAD_BYTES 512
/* More than json_parse() takes; ours are read piece by piece. */
#define WHOLE_MAX (512 * 1024 * 1024)

/* What it is if its bytes begin so. */
static const struct {
	const char *begin;
	size_t len;
	const char *what;
} kinds[] = {
	{ "\xff\xfe", 2, "UTF-16 text: save it as UTF-8" },
	{ "\xfe\xff", 2, "UTF-16 text: save it as UTF-8" },
	{ "{\0", 2, "UTF-16 text: save it as UTF-8" },
	{ "\0{", 2, "UTF-16 text: save it as UTF-8" },
	{ "\x1f\x8b", 2, "compressed (gzip): unpack it" },
	{ "\x28\xb5\x2f\xfd", 4, "compressed (zstd): unpack it" },
	{ "\xfd"
	  "7zXZ",
	    5, "compressed (xz): unpack it" },
	{ "BZh", 3, "compressed (bzip2): unpack it" },
	{ "PK\3\4", 4, "an archive (zip): unpack it" },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t bom_len(const char *text, size_t len)
{
	return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Nothing but white space, and zeros that a file system made of a power cut. */
static bool is_blank(const char *text, size_t len)
{
	while (len > 0 && (is_space(*text) || *text == '\0')) {
		text++;
		len--;
	}
	return len == 0;
}

/* One of its lines, or the beginning of one. */
static bool has_ours(const char *text, size_t len)
{
	const char *end = text + len, *eol;

	for (; text < end; text = eol + 1) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (eol == NULL)
			return record_is_torn(text, (size_t)(end - text)) ||
			       record_is_ours(text, (size_t)(end - text));
		if (record_is_ours(text, (size_t)(eol - text)))
			return true;
	}
	return false;
}

static int refuse(
    const struct store *s, const char *text, size_t len, char err[ERR_MAX])
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (len >= kinds[i].len &&
		    memcmp(text, kinds[i].begin, kinds[i].len) == 0)
			break;
	err_set(err, "%s: is %s; %s", s->path,
	    i < N_KINDS ? kinds[i].what
			: "neither a file of registrations nor the Go "
			  "daemon's database",
	    s->read_only ? "there is no registration in it that can be read"
			 : "it is left as it is: set databaseFile, or move it "
			   "away to begin without");
	return -1;
}

static int judge(struct store *s, const char *text, size_t len, char *err)
{
	size_t skip = bom_len(text, len), at = skip;

	if (store_go_is(text, len))
		return store_go_load(s, text, len, err);
	if (is_blank(text + skip, len - skip) ||
	    has_ours(text + skip, len - skip))
		return store_load(s, skip, err);
	while (at < len && is_space(text[at]))
		at++;
	/* Its own words say where it is no JSON. */
	if (at + 1 < len && text[at] == '{' && text[at + 1] != '\0')
		return store_go_load(s, text, len, err);
	return refuse(s, text, len, err);
}

static char *read_whole(
    const struct store *s, size_t size, size_t *len_r, char err[ERR_MAX])
{
	char *text = xmalloc(size + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (len < size && n != 0) {
		n = pread(s->fd, text + len, size - len, (off_t)len);
		if (n < 0 && errno != EINTR) {
			store_io_error(err, s, "", "read", errno);
			free(text);
			return NULL;
		}
		if (n > 0)
			len += (size_t)n;
	}
	*len_r = len;
	return text;
}

int store_read(struct store *s, char err[ERR_MAX])
{
	static const char ours[] = "{\"user\":\"";
	char head[HEAD_BYTES], *text;
	ssize_t n = pread(s->fd, head, sizeof(head), 0);
	struct stat st;
	size_t skip, len;
	int rc;

	if (n < 0 || fstat(s->fd, &st) < 0) {
		store_io_error(err, s, "", "read", errno);
		return -1;
	}
	skip = bom_len(head, (size_t)n);
	if ((size_t)n >= skip + strlen(ours) &&
	    memcmp(head + skip, ours, strlen(ours)) == 0)
		return store_load(s, skip, err);
	if (!S_ISREG(st.st_mode) || st.st_size > WHOLE_MAX)
		return refuse(s, head, (size_t)n, err);
	text = read_whole(s, (size_t)st.st_size, &len, err);
	if (text == NULL)
		return -1;
	rc = judge(s, text, len, err);
	free(text);
	return rc;
}
