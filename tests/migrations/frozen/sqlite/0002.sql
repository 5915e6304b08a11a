-- A database as revision 0002 left it, with data. It is never edited: databases like it exist.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	category TEXT DEFAULT '' NOT NULL, 
	location TEXT DEFAULT '' NOT NULL, 
	publisher TEXT DEFAULT '' NOT NULL, 
	start_time INTEGER NOT NULL, 
	end_time INTEGER NOT NULL, 
	owner_id INTEGER, 
	source TEXT DEFAULT '' NOT NULL, 
	external_id TEXT DEFAULT '' NOT NULL, 
	create_time INTEGER NOT NULL, 
	update_time INTEGER NOT NULL, 
	version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT ck_events_end_time CHECK (end_time >= start_time), 
	CONSTRAINT fk_events_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "events" VALUES(1,'Première 🎉','It''s "quoted"; -- and
of two lines','party','京都','Release team',-62135596800000000,253402300799999999,1,'','',1767225600000005,1767225600000009,5);
INSERT INTO "events" VALUES(2,'At the epoch','','','','',0,0,NULL,'feed','x-1',1767225600000006,1767225600000006,1);
CREATE TABLE idempotency_keys (
	request_id BLOB NOT NULL, 
	fingerprint BLOB NOT NULL, 
	response BLOB NOT NULL, 
	create_time INTEGER NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (request_id)
)
 STRICT

;
INSERT INTO "idempotency_keys" VALUES(X'0B7D6E3C94A44D1C8D5E6F1F0C2A9B11',X'00FF',X'080112',1767225600000010);
CREATE TABLE secrets (
	name TEXT NOT NULL, 
	value BLOB NOT NULL, 
	CONSTRAINT pk_secrets PRIMARY KEY (name)
)
 STRICT

;
INSERT INTO "secrets" VALUES('page_token',X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F');
CREATE TABLE users (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	email TEXT NOT NULL, 
	first_name TEXT DEFAULT '' NOT NULL, 
	last_name TEXT DEFAULT '' NOT NULL, 
	source TEXT DEFAULT '' NOT NULL, 
	external_id TEXT DEFAULT '' NOT NULL, 
	create_time INTEGER NOT NULL, 
	update_time INTEGER NOT NULL, 
	version INTEGER DEFAULT 1 NOT NULL
)
 STRICT

;
INSERT INTO "users" VALUES(1,'Ada@Example.com','Ada','Lovelace','','',1767225600000001,1767225600000002,3);
INSERT INTO "users" VALUES(2,'grace@example.com','Grace','O''Hopper','staff','g-1',1767225600000003,1767225600000003,1);
CREATE UNIQUE INDEX ux_users_email ON users (lower(email));
CREATE INDEX ix_events_owner_id ON events (owner_id, id);
CREATE INDEX ix_events_category ON events (category, id);
CREATE INDEX ix_events_publisher ON events (publisher, id);
CREATE INDEX ix_events_start_time ON events (start_time DESC, id);
CREATE INDEX ix_events_source_external_id ON events (source, external_id, id);
CREATE INDEX ix_users_email ON users (email, id);
CREATE INDEX ix_users_source_external_id ON users (source, external_id, id);
CREATE INDEX ix_idempotency_keys_create_time ON idempotency_keys (create_time);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('users',7);
INSERT INTO "sqlite_sequence" VALUES('events',9);
COMMIT;
