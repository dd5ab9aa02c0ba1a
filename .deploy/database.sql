-- Run by psql as superuser in a new cluster: the owner of the product's database, and the database, still empty.
-- `bookcli db init` then loads schema.sql as that owner, who is no superuser. CREATEROLE: the schema has roles.
\set ON_ERROR_STOP on
\getenv password DATABASE_PASSWORD
CREATE ROLE bookcli LOGIN CREATEROLE PASSWORD :'password';
-- Desks and workers are no owners: they may do what schema.sql grants to their group. A desk needs somebody's session
-- for all but the catalog, a worker nobody's. The owner makes them, and so may make more.
SET ROLE bookcli;
\getenv desk_password DESK_PASSWORD
CREATE ROLE bookcli_owner NOLOGIN NOINHERIT;
CREATE ROLE bookcli_admin NOLOGIN NOINHERIT;
CREATE ROLE bookcli_desk NOLOGIN NOINHERIT;
CREATE ROLE desk LOGIN PASSWORD :'desk_password' IN ROLE bookcli_desk;
\getenv worker_password WORKER_PASSWORD
CREATE ROLE bookcli_worker NOLOGIN NOINHERIT;
CREATE ROLE worker LOGIN PASSWORD :'worker_password' IN ROLE bookcli_worker;
RESET ROLE;
CREATE DATABASE bookcli OWNER bookcli TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
-- Everybody may take any lock and make large objects: a desk with psql would stop the others, or fill the disk. What schema.sql
-- forbids when a superuser loads it is forbidden here, because its owner is none.
\connect bookcli
ALTER DATABASE bookcli SET temp_file_limit = '8GB';
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %s TO bookcli, bookcli_owner, bookcli_admin', f, f)
  FROM (SELECT p.oid::regprocedure AS f FROM pg_proc p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace
           AND p.proname ~ '^(pg_(try_)?advisory_(xact_)?lock(_shared)?|lo_creat|lo_create|lo_from_bytea)$') x
\gexec
