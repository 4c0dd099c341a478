-- Tests only: the time comes with the call.
local lease_us, wall_us, epoch, at = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), 3
