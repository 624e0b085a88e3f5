#ifndef XAPS_PUSH_NOTIFICATION_PLUGIN_H
#define XAPS_PUSH_NOTIFICATION_PLUGIN_H

struct module;

void xaps_push_notification_plugin_init(struct module *module);
void xaps_push_notification_plugin_deinit(void);

#endif
