-- Run once by psql as superuser, when the database server of compose.yaml is made: the two roles and the database.
-- The passwords are taken from the addresses the service itself uses, so each is written in one place only.
\set ON_ERROR_STOP on
\set owner_password `sed -n 's|^[^:]*://[^:]*:\([A-Za-z0-9]*\)@.*|\1|p' /run/secrets/database_owner_url`
\set app_password `sed -n 's|^[^:]*://[^:]*:\([A-Za-z0-9]*\)@.*|\1|p' /run/secrets/database_url`

-- An empty password would be none: stop instead (division by zero) when an address holds no usable one.
SELECT 1 / (length(:'owner_password') >= 32 AND length(:'app_password') >= 32)::int AS passwords_found;

CREATE ROLE loonstroom_owner PASSWORD :'owner_password'
    LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
CREATE ROLE loonstroom_app PASSWORD :'app_password'
    LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

CREATE DATABASE loonstroom OWNER loonstroom_owner TEMPLATE template0
    ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';
REVOKE ALL ON DATABASE loonstroom FROM PUBLIC;
GRANT CONNECT ON DATABASE loonstroom TO loonstroom_app;

\connect loonstroom
ALTER SCHEMA public OWNER TO loonstroom_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO loonstroom_app;
ALTER DEFAULT PRIVILEGES FOR ROLE loonstroom_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO loonstroom_app;
ALTER DEFAULT PRIVILEGES FOR ROLE loonstroom_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO loonstroom_app;
ALTER DEFAULT PRIVILEGES FOR ROLE loonstroom_owner IN SCHEMA public
    GRANT EXECUTE ON ROUTINES TO loonstroom_app;
