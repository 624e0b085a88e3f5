#ifndef XAPS_MAILBOX_H
#define XAPS_MAILBOX_H

/* The name of a mailbox that is the same for all who can see it.  Compiled into
   both modules. */

/* xapsd's limits of what it takes, in bytes. */
#define XAPS_OWNER_MAX 255
#define XAPS_MAILBOX_MAX 1024

struct mailbox;
struct xaps_settings;

struct xaps_mailbox {
	const char *owner; /* as xapsd knows him, or "public:<namespace>" */
	const char *name;  /* UTF-8, levels divided by '/' */
};

/* FALSE if changes of the mailbox cannot be reported, or xapsd would not take
   its name.  settings: of the user whose process this is.  Valid in the current
   data stack frame. */
bool xaps_mailbox_get(struct mailbox *box, const struct xaps_settings *set,
    struct xaps_mailbox *mailbox_r);

#endif
