#ifndef XAPS_WEBPUSH_H
#define XAPS_WEBPUSH_H

/* The IMAP extension WEBPUSH (draft-gougeon-imap-webpush), for users whose
   setting xaps_webpush is on.  Compiled into the imap module. */

void xaps_webpush_init(void);
void xaps_webpush_deinit(void);

#endif
