/* ctl/step.c - what check and doctor print: a line a step, or JSON (xapsd(8)). */
#include "ctl/int.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "text.h"

#define INDENT 23 /* columns before the sentence */
#define COLUMNS_MIN 40

/* How this run prints: one command runs in a process. */
static struct {
	bool json, wrapped;
	bool any; /* a step was printed */
} form;

void ctl_steps_begin(bool json, bool wrapped)
{
	form.json = json;
	form.wrapped = wrapped;
}

static const struct {
	const char *word, *json;
	enum ctl_style style;
} results[] = {
	[STEP_OK] = { "ok", "ok", STYLE_GOOD },
	[STEP_OPEN] = { "look", "look", STYLE_HEAD },
	[STEP_LOOK] = { "look", "look", STYLE_HEAD },
	[STEP_FAILED] = { "FAILED", "failed", STYLE_BAD },
	[STEP_WARNING] = { "warning", "warning", STYLE_HEAD },
};

static void print_json(
    const char *step, enum ctl_result result, const char *text)
{
	struct buf b = BUF_INIT(64 * 1024);

	buf_add_str(
	    &b, form.any ? ",\n{\"step\":" : "{\"steps\":[\n{\"step\":");
	if (step != NULL)
		json_write_str(&b, step);
	else
		buf_add_str(&b, "null");
	buf_add_fmt(&b, ",\"result\":\"%s\",\"text\":", results[result].json);
	json_write_str(&b, text);
	printf("%.*s}", (int)b.len, (const char *)buf_head(&b));
	buf_free(&b);
}

/* One character without what a terminal would obey; returns its end. */
static const char *print_char(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t n = text_utf8_char(u, strlen(p));

	if (n == 0 || *u < ' ' || *u == 0x7f || (*u == 0xc2 && u[1] < 0xa0))
		putchar('?');
	else
		fwrite(p, 1, n, stdout);
	return p + (n > 0 ? n : 1);
}

/* Between words, and within one that is longer than a line.  columns 0: in one
 * line. */
static void print_text(const char *p, int columns)
{
	int at = INDENT;

	while (*p != '\0') {
		bool ends =
		    *p == ' ' &&
		    at + 1 + ctl_width(p + 1, strcspn(p + 1, " ")) > columns;

		if (columns > 0 && (ends || at == columns)) {
			printf("\n%*s", INDENT, "");
			at = INDENT;
			p += *p == ' ';
		} else {
			p = print_char(p);
			at++;
		}
	}
	putchar('\n');
}

void ctl_step(const char *step, enum ctl_result result, const char *text)
{
	int columns = ctl_columns();

	if (form.wrapped && (columns == 0 || columns > 80))
		columns = 80;
	if (columns > 0 && columns < COLUMNS_MIN)
		columns = COLUMNS_MIN;
	if (form.json) {
		print_json(step, result, text);
		form.any = true;
	} else if (result == STEP_WARNING) {
		fflush(stdout);
		fprintf(stderr, "%-14s %-7s %s\n", "", "warning", text);
	} else {
		printf("%-14s ", step);
		ctl_cell(results[result].style, results[result].word, 8);
		print_text(text, columns);
	}
	fflush(stdout);
}

int ctl_steps_end(bool ok)
{
	if (form.json)
		printf("\n],\"ok\":%s}\n", ok ? "true" : "false");
	return fflush(stdout) == 0 && !ferror(stdout) && ok ? EXIT_DONE
							    : EXIT_FAILED;
}

void ctl_conf_refused(const char *why)
{
	ctl_steps_begin(true, false);
	ctl_step("configuration", STEP_FAILED, why);
	ctl_steps_end(false);
}
