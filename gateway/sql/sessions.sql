-- Pseudonyms of sessions.

-- name: load
-- The map of a session, and the share of its lifetime that is left.
SELECT content, version, extract(epoch FROM expires_at - now())::float8 / %(lifetime_s)s
FROM tollhouse_session_map WHERE key = %(key)s AND expires_at > now()

-- name: insert
-- The first map of a session, or the first one after its time was over; nothing where another call was first.
INSERT INTO tollhouse_session_map AS kept (key, tenant, user_ref, content, version, expires_at)
VALUES (%(key)s, %(tenant)s, %(user_ref)s, %(content)s, 1, now() + %(lifetime_s)s * interval '1 second')
ON CONFLICT (key) DO UPDATE
SET content = excluded.content, version = kept.version + 1, expires_at = excluded.expires_at
WHERE kept.expires_at <= now()
RETURNING version

-- name: replace
-- The next map of a session; nothing where another call was first.
UPDATE tollhouse_session_map
SET content = %(content)s, version = version + 1, expires_at = now() + %(lifetime_s)s * interval '1 second'
WHERE key = %(key)s AND version = %(version)s
RETURNING version

-- name: renew
-- A session that was read lives on.
UPDATE tollhouse_session_map SET expires_at = now() + %(lifetime_s)s * interval '1 second'
WHERE key = %(key)s AND expires_at > now()
RETURNING version
