/* ctl/pass.c - `xapsd pass`: the Go daemon's password hash. */
#include "ctl.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

#define LINE_MAX_BYTES 1024

static bool read_quietly(char *line, int size)
{
	struct termios old, quiet;
	bool tty = tcgetattr(STDIN_FILENO, &old) == 0, ok;

	if (tty) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		fputs("Password: ", stderr);
	}
	ok = fgets(line, size, stdin) != NULL;
	if (tty) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	return ok;
}

int ctl_pass(void)
{
	char line[LINE_MAX_BYTES];
	unsigned char hash[32];
	char text[2 * sizeof(hash)];

	if (!read_quietly(line, sizeof(line))) {
		fputs("xapsd: no password was typed\n", stderr);
		return EXIT_FAILED;
	}
	line[strcspn(line, "\r\n")] = '\0';
	tls_sha256(line, strlen(line), hash);
	mem_wipe(line, sizeof(line));
	text_hex_write(hash, sizeof(hash), text);
	printf("%.*s\n", (int)sizeof(text), text);
	fputs("Apple closed the log-in that used this in October 2024; "
	      "see keyFileP8 and certificateFilePem in xapsd(8)\n",
	    stderr);
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
