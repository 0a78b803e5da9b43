-- For wrk: posts the lines of a file (`-- FILE THREADS [PAUSE_MS]`) or, without one, gets the URL; prints its figures as
-- JSON. With a pause each connection waits that long on average before each request.
-- Everything is built before the run, and each thread has hosts of its own: an agent never sends two reports at once.
local threads = 0
local requests, at = {}, 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(args)
   if not args[1] then
      requests[1] = wrk.format()
      return
   end
   wrk.headers["Content-Type"] = "application/json"
   if args[3] then
      math.randomseed(number)
      local pause = 2 * tonumber(args[3])
      function delay() return math.random(0, pause) end
   end
   local line = 0
   for body in io.lines(args[1]) do
      if line % tonumber(args[2]) == number then
         requests[#requests + 1] = wrk.format("POST", nil, nil, body)
      end
      line = line + 1
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
