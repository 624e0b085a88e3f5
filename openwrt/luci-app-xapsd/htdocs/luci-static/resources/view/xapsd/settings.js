'use strict';
'require form';
'require fs';
'require uci';
'require ui';
'require view';

const ETC = '/etc/xapsd';

return view.extend({
	load() {
		return Promise.all([
			L.resolveDefault(fs.read('/var/run/xapsd.refused'), ''),
			uci.load('xapsd')
		]);
	},

	render([ refused ]) {
		if (!uci.get('xapsd', 'main'))
			uci.add('xapsd', 'xapsd', 'main');
		if (refused)
			ui.addNotification(_('The configuration was refused'), E('pre', [ refused.trim() ]), 'error');

		const m = new form.Map('xapsd', _('Mail push'),
			_('Wakes iPhones and iPads for new mail at Dovecot, by a push certificate or key from Apple. Options that are not shown here are kept: see xapsd(8).'));
		const s = m.section(form.NamedSection, 'main', 'xapsd');
		let o;

		s.tab('general', _('General'));
		s.tab('advanced', _('Advanced'));

		o = s.taboption('general', form.Flag, 'enabled', _('Enabled'));
		o.rmempty = false;
		/* the init script takes any of these */
		o.cfgvalue = id => /^(1|on|true|yes|enabled)$/i.test(uci.get('xapsd', id, 'enabled')) ? '1' : '0';

		/* Which of the options below are kept: the daemon takes one credential. */
		o = s.taboption('general', form.ListValue, '_credential', _('Credential from Apple'));
		o.value('token', _('Token key (.p8)'));
		o.value('pem', _('Certificate (.pem)'));
		o.value('p12', _('Certificate (.p12)'));
		o.cfgvalue = id => uci.get('xapsd', id, 'certificateFileP12') ? 'p12'
			: uci.get('xapsd', id, 'certificateFilePem') ? 'pem' : 'token';
		o.write = o.remove = () => {};

		const of = (kinds, cls, ...args) => {
			const o = s.taboption('general', cls, ...args);
			for (const kind of kinds)
				o.depends('_credential', kind);
			return o;
		};
		/* The init script gives it to xapsd, and to nobody else. */
		const file = (kind, ...args) => {
			const o = of([ kind ], form.FileUpload, ...args);
			o.root_directory = ETC;
			o.enable_remove = false;
			return o;
		};

		o = file('token', 'keyFileP8', _('Key file'), _('As Apple named it, AuthKey_….p8.'));
		o.onchange = (ev, id, path) => {
			const [ , key ] = /\/AuthKey_([A-Z0-9]{10})\.p8$/.exec(path) || [];
			if (key)
				s.getUIElement(id, 'keyFileKeyId').setValue(key);
		};
		for (const [ name, title ] of [ [ 'keyFileKeyId', _('Key ID') ], [ 'keyFileTeamId', _('Team ID') ] ]) {
			o = of([ 'token' ], form.Value, name, title);
			o.validate = (id, value) => !value || /^[A-Z0-9]{10}$/i.test(value) || _('10 letters and digits');
		}
		o = of([ 'token' ], form.Value, 'keyFileTopic', _('Topic'));
		o.placeholder = 'com.apple.mobilemail.push.com.example';

		file('pem', 'certificateFilePem', _('Certificate'));
		file('pem', 'certificateFilePemKey', _('Its key'), _('Unless it is in the same file.'));
		file('p12', 'certificateFileP12', _('Certificate with key'));
		o = of([ 'pem', 'p12' ], form.Value, 'certificatePassword', _('Password of the key'));
		o.password = true;
		of([ 'pem', 'p12' ], form.Value, 'topic', _('Topic'), _('Only if the certificate does not name it.'));

		const more = (cls, ...args) => s.taboption('advanced', cls, ...args);

		o = more(form.Value, 'delay', _('Delay'),
			_('New mail is pushed at once, flags and deletions after this time, so that many are one push.'));
		o.placeholder = '30s';
		o.validate = (id, value) => !value || /^\d+ ?(s|m|h)?$/.test(value) || _('A time such as 30s or 5m');

		o = more(form.Value, 'databaseFile', _('Registrations'),
			_('A file in a folder of its own. In /etc/xapsd/db it is in flash, written once a day and device at most, and sysupgrade keeps it.'));
		o.placeholder = '/etc/xapsd/db/database.json';
		o.validate = (id, value) => !value || /^\/.+\/.+/.test(value) || _('A path such as /etc/xapsd/db/database.json');

		o = more(form.Value, 'apnsProxy', _('Proxy on the way to Apple'));
		o.placeholder = 'http://host:port';

		o = more(form.Value, 'sharedStore', _('Shared book'),
			_('For several nodes: the address of a Valkey or Redis.'));
		o.placeholder = 'valkeys://user:password@host:6379/0';
		o.password = true;

		o = more(form.ListValue, 'loglevel', _('Log level'));
		o.value('', _('default'));
		for (const level of [ 'trace', 'debug', 'info', 'warn', 'error' ])
			o.value(level);

		return m.render();
	}
});
