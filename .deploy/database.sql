-- Run by psql as superuser in a new cluster: the owner of the product's database, and the database, still empty.
-- `bookcli db init` then loads schema.sql as that owner, who is no superuser. CREATEROLE: the schema has roles.
\set ON_ERROR_STOP on
\getenv password DATABASE_PASSWORD
CREATE ROLE bookcli LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE bookcli OWNER bookcli TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
