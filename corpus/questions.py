"""What people ask of a run, as SQL over its stored tables (schema `raw`); ids are hex."""

from typing import Final

_HEX: Final = "* REPLACE (lower(hex(doc_id)) AS doc_id)"
_AS_STORED: Final = ("plan", "stages", "mixture", "quarantine", "benchmarks", "benchmark_coverage")
_WITH_ID: Final = ("verdicts", "contamination", "benchmark_overlap", "segments")

MAIN: Final[dict[str, str]] = {
    **{name: f"SELECT * FROM raw.{name}" for name in _AS_STORED},
    **{name: f"SELECT {_HEX} FROM raw.{name}" for name in _WITH_ID},
    "documents": """
        SELECT d.* REPLACE (lower(hex(d.doc_id)) AS doc_id), e.text AS edited_text,
               f.text AS finished_text
        FROM raw.documents d LEFT JOIN raw.edited e ON d.doc_id = e.doc_id
        LEFT JOIN raw.finished f ON d.doc_id = f.doc_id""",
    "signals": """
        SELECT lower(hex(doc_id)) AS doc_id, coalesce(s.source, c.source) AS source,
               s.* EXCLUDE (doc_id, source), c.* EXCLUDE (doc_id, source),
               d.* EXCLUDE (doc_id, source, text), e.* EXCLUDE (doc_id, source),
               l.* EXCLUDE (doc_id, source), t.* EXCLUDE (doc_id, source)
        FROM raw.signals s FULL JOIN raw.scores c USING (doc_id)
        LEFT JOIN raw.edited d USING (doc_id)
        LEFT JOIN raw.ensembles e USING (doc_id)
        LEFT JOIN raw.lists l USING (doc_id)
        LEFT JOIN raw.token_kl t USING (doc_id)""",
    "duplicates": """
        SELECT * REPLACE (lower(hex(doc_id)) AS doc_id, lower(hex(kept_doc_id)) AS kept_doc_id)
        FROM raw.duplicates""",
    # What was removed in favour of a document: the copies, without the one that is kept.
    "clusters": """
        SELECT lower(hex(kept_doc_id)) AS kept_doc_id, kind, count(*) AS documents,
               coalesce(sum(n_bytes), 0)::BIGINT AS bytes
        FROM raw.duplicates LEFT JOIN raw.verdicts USING (doc_id) GROUP BY ALL""",
    "tokens": f"SELECT {_HEX.replace('*', '* EXCLUDE (tokens)')} FROM raw.tokens",
    "edits": """
        SELECT lower(hex(doc_id)) AS doc_id, source, edit, reason, n_lines, lines, n_chars
        FROM (FROM raw.edits UNION ALL BY NAME FROM raw.finish_edits)""",
    # Each time that a stage began a document, through whichever pool; only there doc_start is 0.
    "repetitions": """
        SELECT coalesce(m.of, k.source) AS source, lower(hex(k.doc_id)) AS doc_id, k.stage,
               count(*) AS times
        FROM raw.packs k JOIN raw.mixture m ON k.stage = m.stage AND k.source = m.source
        WHERE k.doc_start = 0 GROUP BY ALL""",
    "rejects": """
        SELECT lower(hex(v.doc_id)) AS doc_id, v.source, v.step, v.reason, d.text
        FROM raw.verdicts v JOIN raw.documents d ON v.doc_id = d.doc_id AND v.source = d.source
        WHERE NOT v.kept""",
}

# A sequence draws from one source; its segments are the packed rows of its ordinal. An epoch of a
# segment is its document's, which may differ from that of the sequence's first document.
SEGMENTS: Final = """
    SELECT p.stage, p."position", k."offset", k.length, k.doc_id, k.doc_start,
           p.source, p.step, p.slot, k.epoch
    FROM raw.plan p JOIN raw.packs k
      ON p.stage = k.stage AND p.source = k.source AND p.ordinal = k.ordinal"""

# A document that a step saw is one that no earlier step dropped, so what a step kept is the whole
# less all that fell up to it: kept + dropped = seen holds by construction. A step that verdicts
# name and steps.json does not comes last, so that no document is lost from the account.
FUNNEL: Final = """
    WITH pipeline AS ({pipeline}),
    judged AS MATERIALIZED (
        SELECT source, CASE WHEN NOT kept THEN step END AS step,
               CASE WHEN NOT kept THEN coalesce(reason, step) END AS reason,
               count(*) AS docs, coalesce(sum(n_bytes), 0) AS bytes
        FROM raw.verdicts GROUP BY ALL),
    steps AS (
        SELECT step, step_order FROM pipeline
        UNION ALL
        SELECT DISTINCT step, (SELECT count(*) + 1 FROM pipeline)
        FROM judged WHERE step IS NOT NULL AND step NOT IN (SELECT step FROM pipeline)),
    ranked AS (
        SELECT step, row_number() OVER (ORDER BY step_order, step) AS step_order FROM steps),
    dropped AS (SELECT judged.*, step_order FROM judged JOIN ranked USING (step)),
    totals AS (SELECT source, sum(docs) AS docs, sum(bytes) AS bytes FROM judged GROUP BY source),
    ingested AS (
        SELECT source, NULL::VARCHAR AS reason, count(*) AS docs, sum(n_bytes) AS bytes
        FROM raw.documents GROUP BY source
        UNION ALL SELECT source, reason, count(*), sum(n_bytes) FROM raw.quarantine GROUP BY ALL
        UNION ALL SELECT DISTINCT source, NULL, 0, 0 FROM raw.quarantine),
    counted AS (
        SELECT 0 AS step_order, 'ingest' AS step, source, reason,
               sum(docs) AS docs, coalesce(sum(bytes), 0) AS bytes
        FROM ingested GROUP BY ALL
        UNION ALL
        SELECT r.step_order, r.step, t.source, NULL, any_value(t.docs) - coalesce(sum(d.docs), 0),
               any_value(t.bytes) - coalesce(sum(d.bytes), 0)
        FROM ranked r CROSS JOIN totals t
        LEFT JOIN dropped d ON d.source = t.source AND d.step_order <= r.step_order
        GROUP BY r.step_order, r.step, t.source
        UNION ALL
        SELECT step_order, step, source, reason, docs, bytes FROM dropped)
    SELECT step, source, reason, docs::BIGINT AS docs, bytes::BIGINT AS bytes,
           step_order::INTEGER AS step_order
    FROM counted ORDER BY step_order, source, reason NULLS FIRST"""
