#ifndef XAPS_VISIT_H
#define XAPS_VISIT_H

/* Tells xapsd that a phone has come: the proof that pushes wake it.  Compiled
   into the imap module. */

struct client;
struct client_command_context;
struct ioloop;
struct xaps_settings;

/* Of one IMAP session. */
struct xaps_visit {
	const char *client; /* what ID says, as shown by xapsd; NULL if none */
	bool told;
	bool android;	 /* not Apple's */
	bool background; /* by its last ID this is no visit */
};

/* ioloop: in which requests run. */
void xaps_visit_init(struct ioloop *ioloop);
/* Waits for answers for a moment only. */
void xaps_visit_deinit(void);

/* An ID command has been executed. */
void xaps_visit_id(struct xaps_visit *visit, const struct xaps_settings *set,
    struct client_command_context *cmd);
/* The session's XAPPLEPUSHSERVICE has been successful, so that the daemon knows
   the user. */
void xaps_visit_registered(struct xaps_visit *visit,
    const struct xaps_settings *set, struct client *client);

#endif
