/* ctl/term.c - text for people: colours, and what fits a terminal's line. */
#include "ctl/int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "text.h"

#define COLUMNS_MIN 40 /* narrower ones are not cared for */

static bool is_colourful(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (no == NULL || *no == '\0') &&
	       term != NULL && strcmp(term, "dumb") != 0;
}

int ctl_columns(FILE *out)
{
	struct winsize ws;
	int fd = fileno(out);

	if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &ws) < 0 || ws.ws_col == 0)
		return 0;
	return ws.ws_col < COLUMNS_MIN ? COLUMNS_MIN : ws.ws_col;
}

/* --- widths --- */

/* What most terminals show in two columns (East Asian scripts, pictographs) or in
 * none (marks on the character before), by blocks of Unicode. */
static const struct {
	uint32_t first, last;
	int width;
} blocks[] = {
	{ 0x300, 0x36f, 0 },
	{ 0x1100, 0x115f, 2 },
	{ 0x200b, 0x200f, 0 },
	{ 0x20d0, 0x20ff, 0 },
	{ 0x2e80, 0x303e, 2 },
	{ 0x3041, 0x3098, 2 },
	{ 0x3099, 0x309a, 0 },
	{ 0x309b, 0xa4cf, 2 },
	{ 0xac00, 0xd7a3, 2 },
	{ 0xf900, 0xfaff, 2 },
	{ 0xfe00, 0xfe0f, 0 },
	{ 0xfe30, 0xfe6f, 2 },
	{ 0xff01, 0xff60, 2 },
	{ 0xffe0, 0xffe6, 2 },
	{ 0x1f300, 0x1faff, 2 },
	{ 0x20000, 0x3ffff, 2 },
};

/* Of a character of n bytes. */
static int char_width(const char *p, size_t n)
{
	uint32_t code = (unsigned char)*p & (n > 1 ? 0xffu >> (n + 1) : 0xff);
	size_t i;

	for (i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (code >= blocks[i].first && code <= blocks[i].last)
			return blocks[i].width;
	return 1;
}

/* Its bytes, and its columns; what is no UTF-8 is shown as one. */
static size_t next_char(const char *p, size_t len, int *width_r)
{
	size_t n = text_utf8_char((const unsigned char *)p, len);

	*width_r = n > 0 ? char_width(p, n) : 1;
	return n > 0 ? n : 1;
}

int ctl_width(const char *text, size_t len)
{
	int width, sum = 0;
	size_t n;

	for (; len > 0; len -= n, text += n) {
		n = next_char(text, len, &width);
		sum += width;
	}
	return sum;
}

void ctl_shorten(char *text, int width)
{
	static const char dots[] = "…";
	size_t len = strlen(text), cut, tail = 0;
	int w, left = width / 2;

	if (width < 3 || ctl_width(text, len) <= width)
		return;
	for (cut = 0; left > 0; left -= w) {
		size_t n = next_char(text + cut, len - cut, &w);

		if (w > left)
			break;
		cut += n;
	}
	left = width - 1 - ctl_width(text, cut);
	while (ctl_width(text + tail, len - tail) > left)
		tail += next_char(text + tail, len - tail, &w);
	memmove(text + cut + strlen(dots), text + tail, len - tail + 1);
	memcpy(text + cut, dots, strlen(dots));
}

/* --- printing --- */

static const char *const styles[] = {
	[STYLE_PLAIN] = "",
	[STYLE_HEAD] = "\033[1m",
	[STYLE_GOOD] = "\033[32m",
	[STYLE_BAD] = "\033[31m",
};

static void print_style(enum ctl_style style, bool on)
{
	if (style != STYLE_PLAIN && is_colourful())
		fputs(on ? styles[style] : "\033[0m", stdout);
}

void ctl_cell(enum ctl_style style, const char *text, int width)
{
	int pad = width - ctl_width(text, strlen(text));

	print_style(style, true);
	fputs(text, stdout);
	print_style(style, false);
	printf("%*s", pad > 0 ? pad : 0, "");
}

/* A character without what a terminal would obey. */
static void print_char(FILE *out, const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (text_utf8_char(u, n) != n || *u < ' ' || *u == 0x7f ||
	    (*u == 0xc2 && u[1] < 0xa0))
		putc('?', out);
	else
		fwrite(p, 1, n, out);
}

void ctl_text(FILE *out, enum ctl_style style, const char *text, int at,
    int indent, int most)
{
	int columns = ctl_columns(out), width;
	size_t n, len = strlen(text);

	if (most > 0 && (columns == 0 || columns > most))
		columns = most;
	print_style(style, true);
	for (; len > 0; len -= n, text += n) {
		n = next_char(text, len, &width);
		if (*text == ' ') /* with the word after it */
			width += ctl_width(text + 1, strcspn(text + 1, " "));
		if (columns > 0 && at > indent && at + width > columns) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
			if (*text == ' ')
				continue;
		}
		print_char(out, text, n);
		at += *text == ' ' ? 1 : width;
	}
	print_style(style, false);
	putc('\n', out);
}
