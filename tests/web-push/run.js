// What npm's web-push and its http_ece make of Web Push, for the tests: reads one
// JSON object, prints one.
//   {"send": {subscription, payload, options}}  -> {"status"}
//   {"open": {body, private, auth}}             -> {"content"}, base64url
'use strict';

const crypto = require('crypto');
const path = require('path');
const {createRequire} = require('module');

const load = createRequire(path.resolve(process.argv[2], 'x'));
const ask = JSON.parse(require('fs').readFileSync(0));

async function send({subscription, payload, options}) {
	try {
		const answer = await load('web-push').sendNotification(
			subscription, payload, options);
		return {status: answer.statusCode};
	} catch (e) {
		if (!e.statusCode)
			throw e;
		return {status: e.statusCode, body: e.body};
	}
}

function open({body, private: key, auth}) {
	const ecdh = crypto.createECDH('prime256v1');
	ecdh.setPrivateKey(key, 'base64url');
	const content = load('http_ece').decrypt(
		Buffer.from(body, 'base64url'),
		{version: 'aes128gcm', privateKey: ecdh, authSecret: auth});
	return {content: content.toString('base64url')};
}

Promise.resolve(ask.send ? send(ask.send) : open(ask.open)).then(
	(said) => console.log(JSON.stringify(said)));
