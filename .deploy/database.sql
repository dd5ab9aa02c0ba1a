-- Run by psql as superuser in a new cluster: the owner of the product's database, and the database, still empty.
-- `bookcli db init` then loads schema.sql as that owner, who is no superuser. CREATEROLE: the schema has roles.
\set ON_ERROR_STOP on
\getenv password DATABASE_PASSWORD
CREATE ROLE bookcli LOGIN CREATEROLE PASSWORD :'password';
-- Workers are no owners: they may do what schema.sql grants to this group, and need nobody's session for it.
\getenv worker_password WORKER_PASSWORD
CREATE ROLE bookcli_worker NOLOGIN NOINHERIT;
CREATE ROLE worker LOGIN PASSWORD :'worker_password' IN ROLE bookcli_worker;
CREATE DATABASE bookcli OWNER bookcli TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
