/* xaps-settings.c - the settings for Dovecot 2.4: compiled into both modules,
 * and alone into the module from which doveconf learns them. */

#include "lib.h"
#include "settings.h"
#include "settings-parser.h"
#include "compat.h"
#include "xaps-client.h"

#undef DEF
#define DEF(type, name)                                                        \
	SETTING_DEFINE_STRUCT_##type(                                          \
	    "xaps_" #name, name, struct xaps_plugin_settings)

static const struct setting_define xaps_setting_defines[] = {
	DEF(STR, url),
	DEF(STR, user_lookup),
	DEF(TIME_MSECS, timeout),
	DEF(TIME_MSECS, register_timeout),
	DEF(BOOL, visits),
	DEF(BOOL, webpush),
	DEF(BOOL, deltachat),

	SETTING_DEFINE_LIST_END,
};

static const struct xaps_plugin_settings xaps_default_settings = {
	.url = "",
	.user_lookup = "",
	.timeout = COMPAT_DEFAULT_TIMEOUT_MSECS,
	.register_timeout = COMPAT_DEFAULT_REGISTER_TIMEOUT_MSECS,
	.visits = TRUE,
	.webpush = FALSE,
	.deltachat = FALSE,
};

const struct setting_parser_info xaps_setting_parser_info = {
	.name = "xaps",

	.defines = xaps_setting_defines,
	.defaults = &xaps_default_settings,

	.struct_size = sizeof(struct xaps_plugin_settings),
	.pool_offset1 = 1 + offsetof(struct xaps_plugin_settings, pool),
};

#ifdef XAPS_SETTINGS_MODULE
/* The symbols that Dovecot's config process looks up. */
void xaps_settings_init(struct module *module);
void xaps_settings_deinit(void);

XAPS_EXPORT const struct setting_parser_info *xaps_settings_set_infos[] = {
	&xaps_setting_parser_info, NULL
};
XAPS_EXPORT const char *xaps_settings_version = DOVECOT_ABI_VERSION;

XAPS_EXPORT void xaps_settings_init(struct module *module ATTR_UNUSED)
{
}

XAPS_EXPORT void xaps_settings_deinit(void)
{
}
#endif
