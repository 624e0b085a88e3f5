/* Stands in for LuCI in a browser: the documented interfaces that our views use, of
 * our own making (https://openwrt.github.io/luci/jsapi/).  What LuCI does with
 * a string that is given as a child, it does here: it is markup.
 * tests/e2e/test_luci.py is the router behind it. */
'use strict';

(() => {
const modules = {};
const call = (object, method, params) =>
	fetch('/ubus', { method: 'POST', body: JSON.stringify({ object, method, params }) })
		.then(res => res.json());
const text = s => window.catalogue[s] || s;

window._ = text;
window.N_ = (n, one, other) => text(n == 1 ? one : other);
String.prototype.format = function(...args) {
	return this.replace(/%(\.\d+)?([sdf%])/g, (all, digits, kind) => {
		if (kind == '%')
			return '%';
		const value = args.shift();
		return kind == 's' ? value : kind == 'd' ? Math.trunc(value)
			: value.toFixed((digits || '.6').slice(1));
	});
};

/* --- dom --- */

const dom = {
	elem: e => e instanceof Node,
	append(node, children) {
		if (Array.isArray(children))
			for (const child of children) {
				if (child != null)
					node.append(dom.elem(child) ? child : `${child}`);
			}
		else if (typeof children == 'function')
			dom.append(node, children(node));
		else if (dom.elem(children))
			node.append(children);
		else if (children != null)
			node.innerHTML = `${children}`;
	},
	content(node, children) {
		node.replaceChildren();
		dom.append(node, children);
	},
	create(what, attributes, children) {
		if (Array.isArray(what)) {
			const fragment = document.createDocumentFragment();
			dom.append(fragment, what);
			return fragment;
		}
		if (attributes == null || typeof attributes != 'object'
			|| Array.isArray(attributes) || dom.elem(attributes))
			[ attributes, children ] = [ {}, attributes ];
		const node = document.createElement(what);
		for (const [ key, value ] of Object.entries(attributes)) {
			if (typeof value == 'function')
				node.addEventListener(key, value);
			else if (value != null)
				node.setAttribute(key, value);
		}
		dom.append(node, children);
		return node;
	}
};
window.E = dom.create;
window.L = {
	hasViewPermission: () => window.mayWrite || null,
	resolveDefault: (promise, value) => Promise.resolve(promise).then(v => v ?? value, () => value)
};

/* --- fs, uci, ui, poll --- */

const file = (method, params, take) => call('file', method, params).then(([ code, reply ]) => {
	if (code) {
		const err = new Error({ 4: 'Resource not found', 6: 'Permission denied' }[code] || 'Error');
		err.name = { 4: 'NotFoundError', 6: 'PermissionError' }[code] || 'Error';
		throw err;
	}
	return take(reply);
});
const fs = {
	exec: (command, params) => file('exec', { command, params }, reply => reply),
	read: path => file('read', { path }, reply => reply.data),
	list: path => file('list', { path }, reply => reply.entries),
	stat: path => file('stat', { path }, reply => reply)
};

const uci = {
	load: name => call('uci', 'get', { config: name }).then(([ code, reply ]) => {
		if (code)
			throw new Error('Permission denied');
		uci.values = uci.values || reply.values;
		return [ name ];
	}),
	get: (name, section, option) => option ? (uci.values[section] || {})[option] : uci.values[section],
	set(name, section, option, value) {
		uci.values[section][option] = value;
	},
	unset(name, section, option) {
		delete uci.values[section][option];
	},
	add(name, type, section) {
		uci.values[section] = { '.type': type };
	},
	save: () => call('uci', 'apply', { config: 'xapsd', values: uci.values })
};

window.busy = 0;	/* handlers that run */
const ui = {
	createHandlerFn: (self, fn, ...args) => ev => {
		const button = ev.currentTarget;
		window.busy++;
		button.disabled = true;
		button.classList.add('spinning');
		return Promise.resolve((typeof fn == 'string' ? self[fn] : fn).call(self, ...args, ev))
			.finally(() => {
				window.busy--;
				button.disabled = false;
				button.classList.remove('spinning');
			});
	},
	addNotification(title, children, ...classes) {
		const node = E('div', { 'class': [ 'alert-message', 'fade-in', ...classes ].join(' ') });
		if (title != null)
			dom.append(node, E('h4', {}, title));
		dom.append(node, children);
		document.querySelector('#notifications').append(node);
		return node;
	},
	showModal(title, children) {
		dom.content(document.querySelector('#modal'), [ E('h4', {}, title) ]);
		dom.append(document.querySelector('#modal'), children);
		document.body.classList.add('modal-overlay-active');
	},
	hideModal() {
		document.body.classList.remove('modal-overlay-active');
		document.querySelector('#modal').replaceChildren();
	}
};

const poll = {
	jobs: [],
	add: (fn, seconds) => poll.jobs.push([ fn, seconds ]),
	step: () => Promise.all(poll.jobs.map(([ fn ]) => fn()))
};
window.poll = poll;

/* --- form --- */

class Value {
	rmempty = true;
	titles = [];
	conditions = [];

	constructor(section, name, title, description) {
		Object.assign(this, { section, option: name, title, description });
	}
	depends(option, value) {
		this.conditions.push([ option, value ]);
	}
	value(key, title) {
		this.titles.push([ key, title || key ]);
	}
	cfgvalue(id) {
		return uci.get('xapsd', id, this.option);
	}
	write(id, value) {
		uci.set('xapsd', id, this.option, value);
	}
	remove(id) {
		uci.unset('xapsd', id, this.option);
	}
	isActive() {
		return !this.conditions.length || this.conditions.some(
			([ name, value ]) => this.section.option_(name).formvalue() == value);
	}
	formvalue() {
		return this.widget.getValue();
	}
	makeWidget(value) {
		const input = E('input', { 'class': 'cbi-input-text', 'type': this.password ? 'password' : 'text',
			'value': value, 'placeholder': this.placeholder });
		return { node: input, getValue: () => input.value, setValue(v) { input.value = v; } };
	}
	render(id) {
		const field = E('div', { 'class': 'cbi-value-field' });
		this.widget = this.makeWidget(this.cfgvalue(id));
		this.error = E('div', { 'class': 'cbi-value-error' });
		dom.append(field, [ this.widget.node, this.error ]);
		if (this.description)
			field.append(E('div', { 'class': 'cbi-value-description' }, this.description));
		this.node = E('div', { 'class': 'cbi-value', 'id': `cbi-xapsd-main-${this.option}` }, [
			E('label', { 'class': 'cbi-value-title' }, this.title), field ]);
		this.node.addEventListener('change', ev => {
			if (this.onchange)
				this.onchange(ev, id, this.formvalue());
			this.check(id);
			this.section.showActive();
		});
		return this.node;
	}
	check(id) {
		const found = this.isActive() && this.validate ? this.validate(id, this.formvalue() || '') : true;
		this.error.textContent = found === true ? '' : found;
		return found === true;
	}
	parse(id) {
		const value = this.isActive() ? this.formvalue() : '';
		if (value)
			this.write(id, value);
		else if (this.rmempty)
			this.remove(id);
		else
			throw new Error(`${this.option} must not be empty`);
	}
}

class Flag extends Value {
	makeWidget(value) {
		const input = E('input', { 'type': 'checkbox', 'checked': value == '1' ? '' : null });
		return { node: input, getValue: () => input.checked ? '1' : '0', setValue(v) { input.checked = v == '1'; } };
	}
	parse(id) {
		if (this.formvalue() == '0' && this.rmempty)
			this.remove(id);
		else
			this.write(id, this.formvalue());
	}
}

class ListValue extends Value {
	makeWidget(value) {
		const select = E('select', { 'class': 'cbi-input-select' }, this.titles.map(([ key, title ]) =>
			E('option', { 'value': key, 'selected': key == value ? '' : null }, [ title ])));
		return { node: select, getValue: () => select.value, setValue(v) { select.value = v; } };
	}
}

/* A list to choose from and a field to upload with. */
class FileUpload extends Value {
	enable_remove = true;
	root_directory = '/etc/luci-uploads';

	makeWidget(value) {
		const hidden = E('input', { 'type': 'hidden', 'value': value || '' });
		const button = E('button', { 'class': 'btn' });
		const browser = E('div', { 'class': 'cbi-filebrowser' });
		const node = E('div', {}, [ button, browser, hidden ]);
		const setValue = path => {
			hidden.value = path;
			button.textContent = path || text('Select file…');
		};
		const select = path => {
			setValue(path);
			browser.replaceChildren();
			node.dispatchEvent(new Event('change', { bubbles: true }));
		};
		const show = () => fs.list(this.root_directory).then(entries => dom.content(browser, [
			E('ul', entries.filter(e => e.type == 'file').map(e => E('li', [ E('a', {
				'href': '#', 'click': ev => { ev.preventDefault(); select(`${this.root_directory}/${e.name}`); }
			}, [ e.name ]), this.enable_remove ? E('button', { 'class': 'btn remove' }, [ 'Delete' ]) : '' ]))),
			E('input', { 'type': 'file', 'change': ev => {
				ev.stopPropagation();
				const data = new FormData();
				data.append('sessionid', 'x');
				data.append('filename', `${this.root_directory}/${ev.target.files[0].name}`);
				data.append('filedata', ev.target.files[0]);
				return fetch('/cgi-bin/cgi-upload', { method: 'POST', body: data }).then(show);
			} })
		]));
		button.addEventListener('click', ev => {
			ev.preventDefault();
			show();
		});
		setValue(value || '');
		return { node, getValue: () => hidden.value, setValue };
	}
}

class NamedSection {
	tabs = [];
	options = [];

	constructor(name, type, title, description) {
		Object.assign(this, { name, type, title, description });
	}
	tab(name, title) {
		this.tabs.push([ name, title ]);
	}
	taboption(tab, cls, ...args) {
		const option = new cls(this, ...args);
		option.tab = tab;
		this.options.push(option);
		return option;
	}
	option_(name) {
		return this.options.find(o => o.option == name);
	}
	getUIElement(id, name) {
		return this.option_(name).widget;
	}
	showActive() {
		for (const o of this.options)
			o.node.classList.toggle('hidden', !o.isActive());
	}
	render() {
		const node = E('div', { 'class': 'cbi-section' }, this.tabs.map(([ name, title ]) =>
			E('div', {}, [ E('h3', {}, title),
				...this.options.filter(o => o.tab == name).map(o => o.render(this.name)) ])));
		this.showActive();
		return node;
	}
	parse() {
		if (!this.options.map(o => o.check(this.name)).every(Boolean))
			throw new Error('invalid');
		for (const o of this.options)
			o.parse(this.name);
	}
}

class Map_ {
	sections = [];

	constructor(config, title, description) {
		Object.assign(this, { config, title, description });
	}
	section(cls, ...args) {
		this.sections.push(new cls(...args));
		return this.sections.at(-1);
	}
	render() {
		form.map = this;
		return uci.load(this.config).then(() => E('div', { 'class': 'cbi-map' }, [
			E('h2', {}, this.title), E('div', { 'class': 'cbi-map-descr' }, this.description),
			...this.sections.map(s => s.render()) ]));
	}
	async save() {
		this.sections.forEach(s => s.parse());
		return uci.save();
	}
}
const form = { Map: Map_, NamedSection, Value, Flag, ListValue, FileUpload };

/* --- views --- */

const view = {
	extend: methods => Object.assign({
		load() {},
		handleSaveApply: () => form.map.save(),
		handleSave: () => form.map.save(),
		handleReset() {}
	}, methods)
};

Object.assign(modules, { dom, form, fs, poll, uci, ui, view });
window.define = (names, factory) => {
	const self = factory(...names.map(name => {
		if (!modules[name])
			throw new Error(`no module ${name}`);
		return modules[name];
	}));
	Promise.resolve(self.load()).then(data => self.render(data)).then(node => {
		dom.content(document.querySelector('#view'), node);
		if (self.handleSaveApply)
			document.querySelector('#view').append(E('div', { 'class': 'cbi-page-actions' }, [
				E('button', { 'class': 'cbi-button cbi-button-apply',
					'click': ui.createHandlerFn(self, 'handleSaveApply') }, [ text('Save & Apply') ]) ]));
		document.body.dataset.ready = 'yes';
	});
};
})();
