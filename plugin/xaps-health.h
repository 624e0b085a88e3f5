#ifndef XAPS_HEALTH_H
#define XAPS_HEALTH_H

/* Which addresses of xapsd have just failed.  All processes of this Dovecot
   share that, since most deliveries are a process's first. */

/* To be called before the others; repeated calls do no harm. */
void xaps_health_init(struct mail_user *user);

/* An address has one; where users have urls of their own two may share it, and
   then only the order in which they are tried is not the best. */
#define XAPS_HEALTH_SLOTS 127

/* FALSE while the address is to be tried after others.  Once in a while one
   caller may: it finds out whether it is well again. */
bool xaps_health_may_try(unsigned int slot);
void xaps_health_set(unsigned int slot, bool well);

#endif
