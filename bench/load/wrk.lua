-- The script of wrk.ts: posts the file named by the first argument, and ends with one line of JSON.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
end

-- Times are in microseconds.
local line = '{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"max":%d,' ..
  '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n'

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(line:format(
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
