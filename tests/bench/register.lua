-- A registration of another device each time, or, with "renewal" as the first
-- argument, of the same one again.  Second argument: a number that makes the
-- devices of this run different from those of others.
local base, at, renewal = 0, 0, false

function init(args)
	wrk.headers["Content-Type"] = "application/json"
	renewal = args[1] == "renewal"
	base = tonumber(args[2]) * 1000000
end

function request()
	if not renewal then
		at = at + 1
	end
	return wrk.format("POST", "/register", nil, string.format(
	    '{"ApsAccountId":"0715BAF2-7C1F-4B9A-9C0E-%012d",' ..
	    '"ApsDeviceToken":"%064x","ApsSubtopic":"com.apple.mobilemail",' ..
	    '"Username":"new%d","Mailboxes":["INBOX","Notes"],' ..
	    '"MailboxesAcknowledged":true}', base + at, base + at, base + at))
end
