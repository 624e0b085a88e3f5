/* xaps-mailbox.c - the owner and the canonical name of a mailbox. */

#include "lib.h"
#include "auth-master.h"
#include "imap-utf7.h"
#include "mail-namespace.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "module-context.h"
#include "str.h"
#include "compat.h"
#include "xaps-client.h"
#include "xaps-mailbox.h"

#define XAPS_OWNER_CONTEXT(obj) MODULE_CONTEXT(obj, xaps_owner_module)

/* Attached to another user whose mailboxes are shared with ours. */
struct xaps_owner {
	union mail_user_module_context module_ctx;
	const char *name;
};

static MODULE_CONTEXT_DEFINE_INIT(
    xaps_owner_module, &mail_user_module_register);

/*
 * Owner
 */

/* The name that the owner's own sessions have: the userdb entry may change it
   or hold the user_lookup field.  If Dovecot needed no lookup for the owner, we
   avoid one as well, since auth logs an error if our uid is not allowed to. */
static const char *xaps_owner_look_up(
    struct mail_user *owner, const struct xaps_settings *set)
{
	const char *const *own_fields = owner->userdb_fields;
	const char *const *fields;
	const char *name, *username;
	struct auth_user_info info;
	pool_t pool;

	if (mail_user_auth_master_conn == NULL ||
	    (*set->user_lookup == '\0' && !owner->home_looked_up))
		return xaps_lookup_user(owner, set->user_lookup);

	compat_auth_user_info(owner, &info);
	pool = pool_alloconly_create("xaps userdb lookup", 2048);
	if (auth_master_user_lookup(mail_user_auth_master_conn, owner->username,
		&info, pool, &username, &fields) > 0)
		owner->userdb_fields = fields;
	else
		username = owner->username;
	name = xaps_lookup_user(owner, set->user_lookup);
	owner->userdb_fields = own_fields;
	if (name == owner->username)
		name = username;
	name = p_strdup(owner->pool, name);
	pool_unref(&pool);
	return name;
}

static const char *xaps_owner_name(
    struct mail_user *owner, const struct xaps_settings *set)
{
	struct xaps_owner *xowner = XAPS_OWNER_CONTEXT(owner);

	if (xowner == NULL) {
		xowner = p_new(owner->pool, struct xaps_owner, 1);
		xowner->name = xaps_owner_look_up(owner, set);
		MODULE_CONTEXT_SET(owner, xaps_owner_module, xowner);
	}
	return xowner->name;
}

static const char *xaps_namespace_owner(
    struct mail_namespace *ns, const struct xaps_settings *set)
{
	size_t len = ns->prefix_len;

	if (ns->owner == ns->user)
		return set->username;
	if (ns->owner != NULL)
		return xaps_owner_name(ns->owner, set);
	/* Public, or shared at one fixed place: all users have it under this
	   prefix. */
	if (len > 0 && ns->prefix[len - 1] == mail_namespace_get_sep(ns))
		len--;
	return t_strconcat("public:", t_strndup(ns->prefix, len), NULL);
}

/*
 * Name
 */

/* The path of the namespace's mailboxes, or "". */
static const char *xaps_namespace_path(struct mail_namespace *ns)
{
	const char *path;

	return mailbox_list_get_root_path(
		   ns->list, MAILBOX_LIST_PATH_TYPE_MAILBOX, &path)
		   ? path
		   : "";
}

static bool xaps_same_place(struct mail_namespace *a, struct mail_namespace *b)
{
	const char *path = xaps_namespace_path(a);

	return a->type == b->type && a->owner == b->owner && *path != '\0' &&
	       strcmp(path, xaps_namespace_path(b)) == 0;
}

/* Of several namespaces with the same mailboxes, the one whose names are
   canonical. */
static struct mail_namespace *xaps_namespace_primary(struct mail_namespace *ns)
{
	struct mail_namespace *other, *best = NULL;

	if (ns->alias_for != NULL)
		return ns->alias_for;
	if ((ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0)
		return ns;
	/* Configurations from before alias_for just repeat the location. */
	for (other = ns->user->namespaces; other != NULL; other = other->next) {
		if (other->alias_for != NULL || !xaps_same_place(ns, other))
			continue;
		if ((other->flags & NAMESPACE_FLAG_INBOX_USER) != 0)
			return other;
		if (best == NULL)
			best = other;
	}
	return best != NULL ? best : ns;
}

/* The path relative to the user's home, or NULL if it is not in there. */
static const char *xaps_path_in_home(struct mail_user *user, const char *path)
{
	const char *home;
	size_t len;

	/* Do not cause a lookup: Dovecot did it, or needed no home. */
	if (!user->home_looked_up || mail_user_get_home(user, &home) <= 0)
		return NULL;
	len = strlen(home);
	while (len > 0 && home[len - 1] == '/')
		len--;
	return strncmp(path, home, len) == 0 && path[len] == '/' ? path + len
								 : NULL;
}

/* The prefix that turns a mailbox's name in this namespace into the owner's
   name for it.  Without it a mailbox in a second storage would be mistaken for
   one of the same name in the first.  The owner of a shared namespace is
   assumed to have the same namespaces as our user. */
static const char *xaps_owner_prefix(struct mail_namespace *ns)
{
	struct mail_namespace *own;
	const char *path, *own_path;

	if (ns->type == MAIL_NAMESPACE_TYPE_PRIVATE)
		return (ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0
			   ? ""
			   : t_str_replace(
				 ns->prefix, mail_namespace_get_sep(ns), '/');
	if (ns->owner == NULL || (path = xaps_path_in_home(ns->owner,
				      xaps_namespace_path(ns))) == NULL)
		return "";
	for (own = ns->user->namespaces; own != NULL; own = own->next) {
		if (own->type != MAIL_NAMESPACE_TYPE_PRIVATE ||
		    own->alias_for != NULL)
			continue;
		own_path =
		    xaps_path_in_home(ns->user, xaps_namespace_path(own));
		if (own_path != NULL && strcmp(path, own_path) == 0)
			return xaps_owner_prefix(xaps_namespace_primary(own));
	}
	return "";
}

/* The storage's name for the mailbox is the same in all namespaces, for all
   users and for the mailbox_alias plugin's aliases.  The list converts it to
   UTF-8; the namespace's prefix and separator in that are removed. */
static const char *xaps_mailbox_name(
    struct mailbox *box, struct mail_namespace *ns)
{
	const enum namespace_flags inbox =
	    NAMESPACE_FLAG_INBOX_USER | NAMESPACE_FLAG_INBOX_ANY;
	const char *vname;

	if (strcmp(box->name, "INBOX") == 0 && (ns->flags & inbox) != 0)
		return "INBOX";
	vname = mailbox_list_get_vname(ns->list, box->name);
	if (strncmp(vname, ns->prefix, ns->prefix_len) == 0)
		vname += ns->prefix_len;
	return t_strconcat(xaps_owner_prefix(ns),
	    t_str_replace(vname, mail_namespace_get_sep(ns), '/'), NULL);
}

static bool xaps_fits(const char *str, size_t max)
{
	return *str != '\0' && strlen(str) <= max && xaps_is_clean(str);
}

bool xaps_mailbox_is_plain(const struct xaps_mailbox *mailbox,
    const struct xaps_settings *set, const char *spelling)
{
	string_t *utf8 = t_str_new(64);

	if (strcmp(mailbox->owner, set->username) != 0)
		return FALSE;
	if (strcmp(mailbox->name, "INBOX") == 0)
		return strcasecmp(spelling, "INBOX") == 0;
	return imap_utf7_to_utf8(spelling, utf8) == 0 &&
	       strcmp(str_c(utf8), mailbox->name) == 0;
}

bool xaps_mailbox_get(struct mailbox *box, const struct xaps_settings *set,
    struct xaps_mailbox *mailbox_r)
{
	struct mail_namespace *ns;

	/* A virtual mailbox changes with others, without an event. */
	if (box->virtual_vfuncs != NULL)
		return FALSE;
	ns = xaps_namespace_primary(mailbox_get_namespace(box));
	mailbox_r->owner = xaps_namespace_owner(ns, set);
	mailbox_r->name = xaps_mailbox_name(box, ns);
	return xaps_fits(mailbox_r->owner, XAPS_OWNER_MAX) &&
	       xaps_fits(mailbox_r->name, XAPS_CANONICAL_MAX);
}
