#ifndef XAPS_MAILBOX_H
#define XAPS_MAILBOX_H

/* A mailbox's canonical name, which is the same for every user who can see it.
   Compiled into both modules. */

/* xapsd's limits, in bytes. */
#define XAPS_OWNER_MAX 255
#define XAPS_MAILBOX_MAX 1024	/* as a client spells it */
#define XAPS_CANONICAL_MAX 2048 /* UTF-8 may be longer than modified UTF-7 */

struct mailbox;
struct xaps_settings;

struct xaps_mailbox {
	const char *owner; /* user name at xapsd, or "public:<namespace>" */
	const char *name;  /* UTF-8, levels separated by '/' */
};

/* TRUE if it is the user's own and the spelling (modified UTF-7) alone
   identifies it. */
bool xaps_mailbox_is_plain(const struct xaps_mailbox *mailbox,
    const struct xaps_settings *set, const char *spelling);

/* FALSE if changes of the mailbox are not reported, or if xapsd would not
   accept its name.  set: of the user whose process this is.  The result is
   valid in the current data stack frame. */
bool xaps_mailbox_get(struct mailbox *box, const struct xaps_settings *set,
    struct xaps_mailbox *mailbox_r);

#endif
