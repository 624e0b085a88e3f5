-- One notification after the other, for all devices of the far end in turn.
-- args: number of devices, body of the first one with its digits as %06d.
local requests, at = {}, 0

function init(args)
	wrk.headers["Content-Type"] = "application/json"
	for i = 1, tonumber(args[1]) do
		requests[i] = wrk.format("POST", "/notify", nil,
		    string.format(args[2], i - 1))
	end
end

function request()
	at = at % #requests + 1
	return requests[at]
end
