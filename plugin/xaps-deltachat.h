#ifndef XAPS_DELTACHAT_H
#define XAPS_DELTACHAT_H

/* Delta Chat's clients store the token with which they are woken by
   SETMETADATA "INBOX" (/private/devicetoken "…"); for users whose setting
   xaps_deltachat is on, xapsd keeps it.  Compiled into the imap module. */

struct client;
struct xaps_imap_client;

void xaps_deltachat_init(void);
void xaps_deltachat_deinit(void);

/* For this session it is on. */
void xaps_deltachat_client_add(
    struct xaps_imap_client *xclient, struct client *client);

#endif
