-- Roles and database, made by a superuser; run again, it changes nothing.
--   psql -v ON_ERROR_STOP=1 -v database=meritgrid -f roles.sql
-- Roles of processes on other machines need a password: \password leaves no trace in a log or a history.
--
-- meritgrid_market  owns the tables: `meritgrid market serve` and `meritgrid market migrate` change them between versions
-- meritgrid_oracle  `meritgrid oracle serve` and the embedded broker: rows, not tables (privileges.sql says which)
-- meritgrid_backup  pg_basebackup and pg_dump: reads everything, writes nothing
SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['meritgrid_market', 'meritgrid_oracle']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec
SELECT 'CREATE ROLE meritgrid_backup LOGIN REPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'meritgrid_backup')
\gexec
GRANT pg_read_all_data TO meritgrid_backup;

SELECT format('CREATE DATABASE %I OWNER meritgrid_market TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C.UTF-8''', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO meritgrid_oracle, meritgrid_backup;

\connect :"database"
ALTER SCHEMA public OWNER TO meritgrid_market;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO meritgrid_oracle, meritgrid_backup;
