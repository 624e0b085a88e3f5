#ifndef XAPS_MAILBOX_H
#define XAPS_MAILBOX_H

/* The name of a mailbox that is the same for all who can see it.  Compiled into
   both modules. */

/* xapsd's limits of what it takes, in bytes. */
#define XAPS_OWNER_MAX 255
#define XAPS_MAILBOX_MAX 1024	/* as a client spells it */
#define XAPS_CANONICAL_MAX 2048 /* UTF-8 may be longer than modified UTF-7 */

struct mailbox;
struct xaps_settings;

struct xaps_mailbox {
	const char *owner; /* as xapsd knows him, or "public:<namespace>" */
	const char *name;  /* UTF-8, levels divided by '/' */
};

/* Is it the user's own, and spelled so that xapsd knows it by that?  spelling is
   modified UTF-7. */
bool xaps_mailbox_is_plain(const struct xaps_mailbox *mailbox,
    const struct xaps_settings *set, const char *spelling);

/* FALSE if changes of the mailbox cannot be reported, or xapsd would not take
   its name.  settings: of the user whose process this is.  Valid in the current
   data stack frame. */
bool xaps_mailbox_get(struct mailbox *box, const struct xaps_settings *set,
    struct xaps_mailbox *mailbox_r);

#endif
