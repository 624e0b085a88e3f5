// For `make lint`: LuCI's views are bodies of functions, with the modules that they
// require, and what LuCI puts into the window, as variables.
const globals = names => Object.fromEntries(names.split(' ').map(n => [n, 'readonly']));

export default [{
	languageOptions: {
		ecmaVersion: 2022,
		sourceType: 'script',
		parserOptions: { ecmaFeatures: { globalReturn: true } },
		globals: globals('document window E L N_ _ dom form fs poll uci ui view')
	},
	linterOptions: { reportUnusedDisableDirectives: 'error' },
	rules: Object.fromEntries([
		'no-undef', 'no-unused-vars', 'no-redeclare', 'no-unreachable', 'no-dupe-keys',
		'no-const-assign', 'no-cond-assign', 'no-fallthrough', 'no-self-assign',
		'no-unsafe-negation', 'no-unused-expressions', 'no-useless-escape', 'no-empty',
		'no-var', 'prefer-const', 'no-eval', 'no-implied-eval', 'no-new-func',
		'no-script-url', 'valid-typeof', 'use-isnan', 'require-atomic-updates'
	].map(rule => [rule, 'error']))
}];
