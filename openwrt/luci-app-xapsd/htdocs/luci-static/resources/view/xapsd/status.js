'use strict';
'require dom';
'require fs';
'require poll';
'require uci';
'require ui';
'require view';

/* E(tag, attributes, "text") would be markup: children are always arrays here. */

const POLL_S = 10;
const QUARTER_S = 900;
const QUARTERS = 96;
const ON = /^(1|on|true|yes|enabled)$/i;	/* what the init script takes */
const BLUE = '#3d7fd6', RED = '#d64545';	/* on white and on black */

/* The ACL has these command lines, and no others. */
const xapsd = (...args) =>
	fs.exec('/usr/sbin/xapsd', ['-c', '/var/run/xapsd.yaml', ...args]);

/* What a command says of a fault, without its own name. */
const reason = res => (res.stderr || res.stdout || '').trim().replace(/^xapsd: /, '');

/* The object that it prints, or { fault: why there is none }. */
const ask = promise => promise
	.then(res => JSON.parse(res.stdout || 'null') || { fault: reason(res) })
	.catch(err => ({ fault: err.message }));

const when = t => t ? new Date(t * 1000).toLocaleString() : '–';
const clock = t => new Date(t * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

const row = (...cells) => E('tr', { 'class': 'tr' }, cells);
const fact = (name, ...value) => row(
	E('td', { 'class': 'td left', 'width': '33%' }, [ name ]),
	E('td', { 'class': 'td left' }, value));
const message = (kind, title, lines) => E('div', { 'class': `alert-message ${kind}` }, [
	E('h4', [ title ]),
	...lines.map(line => E('p', [ line ]))
]);

function svg(tag, attributes, ...children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const key in attributes)
		node.setAttribute(key, attributes[key]);
	node.append(...children);
	return node;
}

/* The day's quarter hours.  lines: [value, name] of the scale, whose function
 * goes from 0 to 1; marks(i, x, width, y): what is drawn of one of them. */
function plot(title, day, lines, scale, marks) {
	const width = 400, left = 44, bottom = 104, step = (width - left) / QUARTERS;
	const start = Math.round(day.end / 60) * 60 - QUARTERS * QUARTER_S;
	const x = i => left + i * step, y = v => bottom - 92 * scale(v);
	const text = (x, y, anchor, s) => svg('text', { x, y, 'text-anchor': anchor }, s);
	const picture = svg('svg', {
		viewBox: `0 0 ${width} 124`, width: '100%', role: 'img', 'aria-label': title,
		'font-size': 12, fill: 'currentColor', stroke: 'none'
	});

	for (const [value, name] of lines)
		picture.append(
			svg('path', { d: `M${left} ${y(value)}H${width}`, stroke: 'currentColor', 'stroke-opacity': .25 }),
			text(left - 6, y(value) + 4, 'end', name));
	for (let i = 0; i < QUARTERS; i++) {
		const t = start + i * QUARTER_S, hour = new Date(t * 1000).getHours();
		const past = new Date(t * 1000).getMinutes();	/* since the full hour */
		if (i > 6 && i < QUARTERS - 6 && past < 15 && hour % 6 == 0)
			picture.append(text(x(i - past / 15), bottom + 16, 'middle', clock(t - past * 60)));
		const words = [ `${clock(t)}: ${N_(day.pushes[i], '%d push', '%d pushes').format(day.pushes[i])}` ];
		if (day.wakeups[i] != null)
			words.push(_('came after %s s').format(day.wakeups[i]));
		if (day.missed[i])
			words.push(_('%d brought nobody').format(day.missed[i]));
		picture.append(svg('g', {}, svg('title', {}, words.join(', ')),
			svg('rect', { x: x(i), width: step, height: bottom, 'fill-opacity': 0 }),
			...marks(i, x(i), step * .8, y)));
	}

	const figure = E('figure', [ E('figcaption', [ title ]), picture ]);
	Object.assign(figure.style, {
		display: 'inline-block', width: '49%', minWidth: 'min(100%, 24rem)',
		boxSizing: 'border-box', margin: 0, padding: '0 1rem 1rem 0'
	});
	return figure;
}

function plots(day) {
	const bar = (color, v, x, width, y) => v
		? [ svg('rect', { x, y: y(v), width, height: y(0) - y(v), fill: color }) ] : [];
	const most = Math.max(4, ...day.pushes);
	return [
		plot(_('Pushes in a quarter of an hour; red: nobody came'), day,
			[ [ 0, '0' ], [ most, `${most}` ] ], v => v / most,
			(i, x, w, y) => [ ...bar(BLUE, day.pushes[i], x, w, y), ...bar(RED, day.missed[i], x, w, y) ]),
		plot(_('How long the phones took to come; red: nobody came'), day,
			[ [ 1, '1 s' ], [ 10, '10 s' ], [ 60, '1 min' ], [ 600, '10 min' ] ],
			v => Math.log(Math.max(v, 1)) / Math.log(600),
			(i, x, w, y) => [
				...(day.wakeups[i] == null ? []
					: [ svg('circle', { cx: x + w / 2, cy: y(day.wakeups[i]), r: 2.5, fill: BLUE }) ]),
				...(day.missed[i] ? [ svg('rect', { x, y: 6, width: w, height: 5, fill: RED }) ] : [])
			])
	];
}

function summary(status) {
	const lines = [], n = key => status[key] || 0;

	if (status.fault != null)
		return ON.test(uci.get('xapsd', 'main', 'enabled'))
			? message('error', _('xapsd does not run'), [ status.fault, _('The system log says why.') ])
			: message('warning', _('xapsd is switched off'), [ _('Switch it on in the settings.') ]);
	if (!status.healthy)
		lines.push(status.problem);
	if (status.storeFailing)
		lines.push(_('Registrations cannot be written to disk: the system log says why.'));
	lines.push(...status.warnings);
	if (status.healthy && !status.connected)
		lines.push(_('Not connected to Apple now: pushes wait. %s').format(status.apnsError));
	for (const brand of status.brands || [])
		if (!brand.healthy)
			lines.push(`${brand.name}: ${brand.problem || brand.state}`);
	if (status.shared && status.shared.problem)
		lines.push(_('Shared book: %s').format(status.shared.problem));
	if (n('suspendedNow'))
		lines.push(_('Suspended devices: %d. Apple refused the token; this heals when the phone registers again.').format(n('suspendedNow')));
	if (n('oldTopic'))
		lines.push(_('Devices with the topic of other credentials: %d. They ignore pushes until they register again, within a day or two.').format(n('oldTopic')));
	if (n('silent'))
		lines.push(_('Silent users: %d. Pushes go out, but no phone came for 7 days.').format(n('silent')));

	if (!status.healthy || status.storeFailing)
		return message('error', status.healthy ? _('New phones cannot be saved')
			: _('New mail does not wake the phones'), lines);
	if (lines.length)
		return message('warning', _('New mail wakes the phones, but look at this'), lines);
	if (!n('registrations'))
		return message('notice', _('Ready, but no phone has registered yet'),
			[ _('On the iPhone: Settings > Apps > Mail > Mail Accounts > Fetch New Data > Push. Then open Mail.') ]);
	return message('success', _('New mail wakes the phones'), []);
}

function facts(status) {
	return E('table', { 'class': 'table' }, [
		fact(_('Version'), status.version),
		fact(_('Running since'), when(Date.now() / 1000 - status.uptime)),
		fact(_('Apple'), `${status.apns}, ${status.apnsHost}`),
		fact(_('Credential'), status.expires
			? _('%s, until %s').format(status.credentials, new Date(status.expires * 1000).toLocaleDateString())
			: status.credentials),
		fact(_('Topic'), status.topic || '–'),
		...(status.brands || []).map(b => fact(_('Brand %s').format(b.name), `${b.state}, ${b.topic}`)),
		...(status.shared ? [ fact(_('Shared book'), `${status.shared.state}, ${status.shared.server}`) ] : []),
		fact(_('Devices'), status.registrations),
		fact(_('Last push'), when(status.lastSuccess)),
		...(status.day ? [	/* not in a build without doctor and page */
			fact(_('Wake-up time, median of 24 hours'), status.wakeupMedian ? `${status.wakeupMedian} s` : '–'),
			fact(_('Pushes of 24 hours that brought nobody'), status.missedDay)
		] : [])
	]);
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		return Promise.all([
			ask(xapsd('status', '--json')),
			ask(xapsd('list', '--json')),
			L.resolveDefault(fs.read('/var/run/xapsd.refused'), ''),
			L.resolveDefault(uci.load('xapsd'))
		]);
	},

	render(data) {
		this.nodes = Object.fromEntries([ 'top', 'plots', 'devices', 'check' ].map(name =>
			[ name, E('div', { 'class': 'cbi-section', 'id': `xapsd-${name}` }) ]));
		this.update(data);
		poll.add(() => this.load().then(fresh => this.update(fresh)), POLL_S);
		return E([
			E('h2', [ _('Mail push') ]),
			this.nodes.top,
			this.nodes.plots,
			this.nodes.devices,
			E('div', { 'class': 'cbi-section' }, [
				E('h3', [ _('Check') ]),
				E('p', [ _('Goes through everything that a push needs, and asks Apple whether it takes the credential.') ]),
				E('button', {
					'class': 'btn cbi-button cbi-button-action',
					'click': ui.createHandlerFn(this, 'handleCheck')
				}, [ _('Check now') ]),
				this.nodes.check
			])
		]);
	},

	update([ status, devices, refused ]) {
		const running = status.fault == null;

		dom.content(this.nodes.top, [
			refused ? message('error', _('The configuration was refused'),
				refused.trim().split('\n')) : '',
			summary(status),
			running ? facts(status) : ''
		]);
		dom.content(this.nodes.plots, running && status.day ? [ E('h3', [ _('Last 24 hours') ]), ...plots(status.day) ] : []);

		/* A button that somebody is about to press stays where it is. */
		const text = JSON.stringify(devices);
		if (text == this.shown)
			return;
		this.shown = text;
		dom.content(this.nodes.devices, [
			E('h3', [ _('Devices') ]),
			!Array.isArray(devices) ? E('p', [ devices.fault || '' ])
				: devices.length ? this.renderDevices(devices)
					: E('p', [ E('em', [ _('No device has registered.') ]) ])
		]);
	},

	renderDevices(devices) {
		const titles = [ _('User'), _('Device'), _('Last push'), _('Came'), _('Registered'), _('Folders'), '' ];
		return E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map(title => E('th', { 'class': 'th' }, [ title ]))),
			...devices.map(d => row(...[
				[ E('bdi', [ d.user ]) ],
				[ d.token.slice(0, 8), d.suspended ? ` (${_('suspended')})` : d.oldTopic != null ? ` (${_('old topic')})` : '' ],
				[ d.pushed ? when(d.pushed) : d.answer || '–' ],
				[ d.unanswered ? N_(d.unanswered, '%d push, nobody came', '%d pushes, nobody came').format(d.unanswered)
					: when(d.seen), d.wakeup != null && !d.unanswered ? ` (${_('after %s s').format(d.wakeup)})` : '' ],
				[ when(d.time) ],
				d.mailboxes.slice(0, 10).flatMap(m => [ E('bdi', [ m ]), ' ' ]).concat(d.mailboxes.length > 10 ? '…' : ''),
				this.buttons(d)
			].map((cell, i) => E('td', { 'class': 'td', 'data-title': titles[i] || null }, cell))))
		]);
	},

	buttons(d) {
		const disabled = L.hasViewPermission() ? null : '';
		return [
			E('button', {
				'class': 'btn cbi-button cbi-button-action', disabled,
				'click': ui.createHandlerFn(this, 'handlePush', d)
			}, [ _('Test push') ]),
			' ',
			E('button', {
				'class': 'btn cbi-button cbi-button-negative', disabled,
				'click': ui.createHandlerFn(this, 'handleForget', d)
			}, [ _('Forget') ])
		];
	},

	/* Shows what a command said, or why it could not run. */
	run(promise) {
		return promise
			.then(res => ui.addNotification(null, E('pre', [ res.stdout || reason(res) || _('Done.') ]),
				res.code ? 'warning' : 'info'))
			.catch(err => ui.addNotification(null, E('p', [ err.message ]), 'error'))
			.then(() => this.load()).then(data => this.update(data));
	},

	handlePush(d) {
		return this.run(xapsd('push', '--', d.user));
	},

	handleForget(d) {
		ui.showModal(_('Forget this device?'), [
			E('p', [ E('bdi', [ d.user ]), `, ${d.token.slice(0, 8)}` ]),
			E('p', [ _('A phone that still has the account registers again within a day.') ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Cancel') ]),
				' ',
				E('button', {
					'class': 'btn cbi-button-negative',
					'click': ui.createHandlerFn(this, () => this.run(xapsd('forget', '--', d.user, d.account, d.token))
						.finally(ui.hideModal))
				}, [ _('Forget') ])
			])
		]);
	},

	handleCheck() {
		/* It may wait twice as long for Apple; LuCI waits 20 s. */
		const check = xapsd('check', '--json', '--pushTimeout', '8s');
		const words = { ok: _('ok'), failed: _('FAILED'), warning: _('warning') };
		return ask(check).then(found => dom.content(this.nodes.check, [
			found.fault != null ? E('p', [ found.fault ])
				: E('table', { 'class': 'table' }, found.steps.map(s => row(
					...[ s.step || '', words[s.result] || s.result, s.text ].map(cell => E('td', { 'class': 'td left' }, [ cell ])))))
		]));
	}
});
