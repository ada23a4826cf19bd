-- For wrk: each thread sends the signed deliveries of its own file, each once; prints what came of it as JSON.
local counter = 0
local threads = {}

function setup(thread)
  thread:set("number", counter)
  counter = counter + 1
  table.insert(threads, thread)
end

function init(args)
  requests, at, twice = {}, 0, 0
  ok, turned_away, other = 0, 0, 0
  for line in io.lines(args[1] .. number) do
    local id, time, signature, body = line:match("^(%S+) (%S+) (%S+) (.+)$")
    requests[#requests + 1] = wrk.format("POST", args[2], {
      ["Host"] = "localhost", ["Content-Type"] = "application/json", ["User-Agent"] = "Svix-Webhooks/1.62.0",
      ["svix-id"] = id, ["svix-timestamp"] = time, ["svix-signature"] = signature,
    }, body)
  end
end

function request()
  at = at + 1
  if at > #requests then at, twice = 1, twice + 1 end
  return requests[at]
end

function response(status)
  if status == 200 then ok = ok + 1 elseif status == 503 then turned_away = turned_away + 1 else other = other + 1 end
end

function done(summary, latency)
  local total = { ok = 0, turned_away = 0, other = 0, twice = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(total) do total[name] = total[name] + thread:get(name) end
  end
  local e = summary.errors
  print(string.format(
    '{"ok": %d, "turned_away": %d, "other": %d, "twice": %d, "socket_errors": %d, "seconds": %.3f, "p50": %.2f, "p95": %.2f, "p99": %.2f}',
    total.ok, total.turned_away, total.other, total.twice, e.connect + e.read + e.write + e.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
