/* ctl/step.c - what check and doctor print: a line a step, or JSON (xapsd(8)). */
#include "ctl/int.h"

#include <stdio.h>

#include "cli.h"

#define INDENT 23      /* columns before the sentence */
#define COLUMNS_MAX 80 /* of sentences */

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

	buf_add_str(&b, form.any ? ",\n{" : "{\"steps\":[\n{");
	if (step != NULL)
		json_add_str(&b, "step", step);
	else
		buf_add_str(&b, "\"step\":null");
	json_add_str(&b, "result", results[result].json);
	json_add_str(&b, "text", text);
	printf("%.*s}", (int)b.len, (const char *)buf_head(&b));
	buf_free(&b);
}

void ctl_step(const char *step, enum ctl_result result, const char *text)
{
	if (form.json) {
		print_json(step, result, text);
		form.any = true;
	} else if (result == STEP_WARNING) {
		fflush(stdout);
		fprintf(stderr, "%-14s %-7s ", "", "warning");
		ctl_text(stderr, STYLE_PLAIN, text, INDENT, INDENT, 0);
	} else {
		printf("%-14s ", step);
		ctl_cell(results[result].style, results[result].word, 8);
		ctl_text(stdout, STYLE_PLAIN, text, INDENT, INDENT,
		    form.wrapped ? COLUMNS_MAX : 0);
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
