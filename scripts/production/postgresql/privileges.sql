-- After every `meritgrid market migrate`, by the tables' owner.
--   psql -v ON_ERROR_STOP=1 -U meritgrid_market -d meritgrid -f privileges.sql
-- The months of the readings are reached through `readings` only: whoever may not change it changes none of them.
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO meritgrid_oracle', relname)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
\gexec
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO meritgrid_oracle;

-- What concerns people and programs is none of the oracle's.
REVOKE ALL ON api_keys, wallet_sessions, sign_in_nonces, idempotency_keys FROM meritgrid_oracle;
REVOKE INSERT, UPDATE, DELETE ON bids_received, signed_decisions, documents, alembic_version FROM meritgrid_oracle;
-- What a gateway has said stays as it was said.
REVOKE UPDATE, DELETE ON readings, quarantine, acknowledgements, gateway_statuses FROM meritgrid_oracle;
