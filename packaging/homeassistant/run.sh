#!/bin/sh
# Starts xapsd with the options that were set in Home Assistant.
set -eu

data=${DATA-/data} config=${CONFIG-/config}

# Names of files without / are in addon_configs/..._xapsd, beside the settings.
umask 077
{
	echo "# made at each start from the options of the app"
	echo "databaseFile: $data/database.json"
	awk -f "${OPTIONS_AWK-/options.awk}" "$data/options.json"
} >"$config/.xapsd.yaml.new"
mv -f "$config/.xapsd.yaml.new" "$config/.xapsd.yaml"

exec "${XAPSD-/xapsd}" -c "$config/.xapsd.yaml" "$@"
