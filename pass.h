/* pass.h - `xapsd pass`: the Go daemon's password hash. */
#ifndef PASS_H
#define PASS_H

/* Asks for a line without echo, prints its SHA-256 in hex; an exit status. */
int pass_run(void);

#endif
