#ifndef XAPS_SETTINGS_H
#define XAPS_SETTINGS_H

/* Dovecot 2.4 only: our settings as doveconf and the modules know them. */

struct xaps_plugin_settings {
	pool_t pool;

	const char *url;
	const char *user_lookup;
	unsigned int timeout;
	unsigned int register_timeout;
	bool visits;
	bool webpush;
	bool deltachat;
};

extern const struct setting_parser_info xaps_setting_parser_info;

#endif
