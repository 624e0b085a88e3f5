#ifndef XAPS_IMAP_PLUGIN_H
#define XAPS_IMAP_PLUGIN_H

struct module;

void xaps_imap_plugin_init(struct module *module);
void xaps_imap_plugin_deinit(void);

#endif
