-- Reading the audit log's chain.

-- name: head
SELECT entries, hash FROM tollhouse_audit_head WHERE id = 1

-- name: links
-- The next links and what their entries say, by place. The text is built as in tollhouse_audit_text_v1, and not by it.
SELECT l.place, l.entry_id, l.hash,
       CASE WHEN e.id IS NOT NULL THEN jsonb_build_array(
           e.id, (extract(epoch FROM e.at) * 1000000)::bigint, e.actor, e.action, e.subject, e.reason, e.detail)::text END
FROM tollhouse_audit_link l LEFT JOIN tollhouse_audit e ON e.id = l.entry_id
WHERE l.place > %s ORDER BY l.place LIMIT 5000

-- name: unlinked
SELECT e.id FROM tollhouse_audit e WHERE NOT EXISTS (SELECT FROM tollhouse_audit_link l WHERE l.entry_id = e.id)
ORDER BY e.id LIMIT 1
