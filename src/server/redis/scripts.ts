/**
 * @file What is done in Redis, as Lua scripts: each is atomic, and measures time by Redis' clock, so clocks of replicas do
 * not matter. Repeating a script with the same arguments changes nothing, since a reply may be lost.
 *
 *     acdit:1:videos     sorted set: ids of all videos, by their creation in microseconds
 *     acdit:1:making     sorted set: ids of videos that are being made, by the end of their claims in milliseconds
 *     acdit:1:video:ID   hash: what is known of a video, its owner, and how many servers began it
 *     acdit:1:mp4:ID     the finished MP4
 *     acdit:1:files      sorted set: NAME:BYTES of all files, by their end in microseconds
 *     acdit:1:bytes      the bytes of all files
 *     acdit:1:file:NAME  hash: type and bytes
 */

const PRELUDE = `
local P = 'acdit:1:'
local VIDEOS, MAKING, FILES, BYTES = P .. 'videos', P .. 'making', P .. 'files', P .. 'bytes'
local function video(id) return P .. 'video:' .. id end
local function mp4(id) return P .. 'mp4:' .. id end
local function micros() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function millis() return math.floor(micros() / 1000) end
local function seconds() return math.floor(micros() / 1000000) end
local function forget(id)
  redis.call('DEL', video(id), mp4(id))
  redis.call('ZREM', VIDEOS, id)
  redis.call('ZREM', MAKING, id)
end
-- Fields of a video; nil if it has expired, or if the key holds something else.
local function fields(id, ...)
  local row = redis.pcall('HMGET', video(id), ...)
  if row.err or not row[1] then return nil end
  return row
end
local function finish(id, status, lifetime, ...)
  local now = seconds()
  redis.call('HSET', video(id), 'status', status, 'expires_at', now + lifetime, ...)
  redis.call('PEXPIRE', video(id), lifetime * 1000)
  redis.call('ZREM', MAKING, id)
end
`;

const script = (body: string): string => PRELUDE + body;

/** Fields that a video is made from, in the order of the replies of {@link SCRIPTS}. */
const SHOWN = `'asked', 'status', 'progress', 'created_at', 'completed_at', 'expires_at', 'error'`;

/** The scripts, by what they do. */
export const SCRIPTS = {
  /** id, owner, lease, lifetime, capacity, model, asked, request → created_at; or 'full' and the videos being made. */
  addVideo: script(`
local id, owner, lease, lifetime, capacity = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local known = redis.call('HGET', video(id), 'created_at')
if known then return tonumber(known) end
local kept, over = 0, {}
for _, other in ipairs(redis.call('ZRANGE', VIDEOS, 0, -1)) do
  local row = fields(other, 'status')
  if not row then
    redis.call('ZREM', VIDEOS, other)
    redis.call('ZREM', MAKING, other)
  else
    kept = kept + 1
    if row[1] == 'completed' or row[1] == 'failed' then over[#over + 1] = other end
  end
end
for i = 1, kept - capacity + 1 do
  if not over[i] then return {'full', kept} end
  forget(over[i])
end
local now = micros()
local created = math.floor(now / 1000000)
redis.call('HSET', video(id), 'owner', owner, 'attempts', 1, 'model', ARGV[6], 'asked', ARGV[7], 'request', ARGV[8],
  'status', 'queued', 'progress', 0, 'created_at', created, 'expires_at', created + lifetime)
redis.call('PEXPIRE', video(id), lifetime * 1000)
redis.call('ZADD', VIDEOS, now, id)
redis.call('ZADD', MAKING, math.floor(now / 1000) + lease, id)
return created`),

  /** id, owner, lease, lifetime, status, progress → 1, or 0 if the claim is lost. */
  beat: script(`
local id, lease, lifetime = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local row = fields(id, 'owner', 'status')
if not row or row[1] ~= ARGV[2] then return 0 end
if row[2] == 'completed' or row[2] == 'failed' then return 1 end
redis.call('HSET', video(id), 'status', ARGV[5], 'progress', ARGV[6])
redis.call('PEXPIRE', video(id), lifetime * 1000)
redis.call('ZADD', MAKING, millis() + lease, id)
return 1`),

  /** id, owner, lifetime, MP4 → 1, or 0 if the claim is lost. */
  complete: script(`
local id, lifetime = ARGV[1], tonumber(ARGV[3])
local row = fields(id, 'owner', 'status')
if not row or row[1] ~= ARGV[2] then return 0 end
if row[2] ~= 'completed' then
  redis.call('SET', mp4(id), ARGV[4], 'PX', lifetime * 1000)
  finish(id, 'completed', lifetime, 'progress', 100, 'completed_at', seconds())
end
return 1`),

  /** id, owner, lifetime, error → 1, or 0 if the claim is lost. */
  fail: script(`
local id, lifetime = ARGV[1], tonumber(ARGV[3])
local row = fields(id, 'owner', 'status')
if not row or row[1] ~= ARGV[2] then return 0 end
if row[2] ~= 'failed' then finish(id, 'failed', lifetime, 'error', ARGV[4]) end
return 1`),

  /** id, owner: gives a claim back, as if it had not begun. */
  release: script(`
local id = ARGV[1]
local row = fields(id, 'owner')
if not row or row[1] ~= ARGV[2] then return 0 end
redis.call('HSET', video(id), 'owner', '', 'status', 'queued', 'progress', 0)
redis.call('HINCRBY', video(id), 'attempts', -1)
redis.call('ZADD', MAKING, 0, id)
return 1`),

  /**
   * owner, lease, lifetime, attempts, error, number of videos that the caller makes, their ids..., models... → id, request
   * and fields of a video whose owner is silent; or nil.
   */
  takeOver: script(`
local owner, lease, lifetime, attempts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local own, models, last = {}, {}, 6 + ARGV[6]
for i = 7, last do own[ARGV[i]] = true end
for i = last + 1, #ARGV do models[ARGV[i]] = true end
local now = millis()
for _, id in ipairs(redis.call('ZRANGEBYSCORE', MAKING, '-inf', now)) do
  local row = fields(id, 'model', 'attempts', 'request')
  if not row then
    redis.call('ZREM', MAKING, id)
  elseif own[id] then
    -- Its next sign of life is late.
  elseif (tonumber(row[2]) or attempts) >= attempts then
    finish(id, 'failed', lifetime, 'owner', '', 'error', ARGV[5])
  elseif models[row[1]] then
    redis.call('HSET', video(id), 'owner', owner, 'status', 'queued', 'progress', 0)
    redis.call('HINCRBY', video(id), 'attempts', 1)
    redis.call('PEXPIRE', video(id), lifetime * 1000)
    redis.call('ZADD', MAKING, now + lease, id)
    return {id, row[3], redis.call('HMGET', video(id), ${SHOWN})}
  end
end
return false`),

  /** id → fields, or nil. */
  getVideo: script(`return fields(ARGV[1], ${SHOWN}) or false`),

  /** → ids with their fields, the oldest first. */
  allVideos: script(`
local found = {}
for _, id in ipairs(redis.call('ZRANGE', VIDEOS, 0, -1)) do
  local row = fields(id, ${SHOWN})
  if row then found[#found + 1] = {id, row} end
end
return found`),

  /** id → the bytes of the MP4, 0 if there is none. */
  mp4Size: script(`return redis.call('STRLEN', mp4(ARGV[1]))`),

  /** id, first byte, last byte → these bytes of the MP4. */
  mp4Bytes: script(`return redis.call('GETRANGE', mp4(ARGV[1]), ARGV[2], ARGV[3])`),

  /** id → 1, or 0 if there is none. */
  removeVideo: script(`
if not fields(ARGV[1], 'status') then return 0 end
forget(ARGV[1])
return 1`),

  /** name, type, bytes, lifetime, capacity. */
  addFile: script(`
local name, size, lifetime, capacity = ARGV[1], #ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local entry, now = name .. ':' .. size, micros()
if redis.call('ZSCORE', FILES, entry) then return 1 end
local function remove(old)
  redis.call('ZREM', FILES, old)
  redis.call('DEL', P .. 'file:' .. old:match('^[^:]*'))
  redis.call('DECRBY', BYTES, old:match('%d+$') or 0)
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', FILES, '-inf', now)) do remove(old) end
if redis.call('ZCARD', FILES) == 0 then redis.call('SET', BYTES, 0) end
redis.call('HSET', P .. 'file:' .. name, 'type', ARGV[2], 'bytes', ARGV[3])
redis.call('PEXPIRE', P .. 'file:' .. name, lifetime * 1000)
redis.call('ZADD', FILES, now + lifetime * 1000000, entry)
redis.call('INCRBY', BYTES, size)
while tonumber(redis.call('GET', BYTES)) > capacity do
  local oldest = redis.call('ZRANGE', FILES, 0, 0)[1]
  if not oldest then break end
  remove(oldest)
end
return 1`),

  /** name → type and bytes, or nil. */
  getFile: script(`
local row = redis.pcall('HMGET', P .. 'file:' .. ARGV[1], 'type', 'bytes')
if row.err or not row[1] then return false end
return row`),
} as const;
