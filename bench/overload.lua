-- What wrk asks and counts for bench/overload.py: paths of a file at random, statuses, the longest wait.
local paths, threads = {}, {}
for line in io.lines(os.getenv("OVERLOAD_PATHS")) do paths[#paths + 1] = line end

function setup(thread)
  table.insert(threads, thread)
  thread:set("seed", 7919 * #threads)
end

function init()
  math.randomseed(seed)
  served, refused, others = 0, 0, 0
end

function request()
  return wrk.format("GET", paths[math.random(#paths)], {["Accept-Encoding"] = "zstd"})
end

function response(status)
  if status == 200 or status == 204 then
    served = served + 1
  elseif status == 503 then
    refused = refused + 1
  else
    others = others + 1
  end
end

function done(summary, latency)
  local sums = {served = 0, refused = 0, others = 0}
  for _, thread in ipairs(threads) do
    for name, sum in pairs(sums) do sums[name] = sum + thread:get(name) end
  end
  local e = summary.errors
  print(string.format("TOLD %d %d %d %d %.3f %.4f %.4f", sums.served, sums.refused, sums.others,
    e.connect + e.read + e.write + e.timeout, summary.duration / 1e6, latency:percentile(50) / 1e6, latency.max / 1e6))
end
