-- A database as revision 0014 left it, with data. It is never edited: databases like it exist.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0014');
CREATE TABLE change_context (
	id INTEGER NOT NULL, 
	transaction_id INTEGER DEFAULT 0 NOT NULL, 
	principal TEXT DEFAULT '' NOT NULL, 
	replaced_after INTEGER, 
	replaced_id INTEGER, 
	replaced TEXT, 
	CONSTRAINT pk_change_context PRIMARY KEY (id)
)
 STRICT

;
INSERT INTO "change_context" VALUES(1,0,'',NULL,NULL,NULL);
CREATE TABLE event_changes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	event_id INTEGER NOT NULL, 
	type INTEGER NOT NULL, 
	time INTEGER NOT NULL, 
	principal TEXT DEFAULT '' NOT NULL, 
	transaction_id INTEGER DEFAULT 0 NOT NULL, 
	state TEXT NOT NULL, 
	previous TEXT
)
 STRICT

;
INSERT INTO "event_changes" VALUES(0,0,0,1795693181059000,'',0,'{}',NULL);
CREATE TABLE event_text_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last_id INTEGER NOT NULL
) STRICT;
INSERT INTO "event_text_progress" VALUES(1,-9223372036854775808);
CREATE TABLE event_text_queue (
  event_id INTEGER PRIMARY KEY,
  name TEXT,
  description TEXT,
  location TEXT
) STRICT;
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
CREATE TABLE feed_validators (
	feed TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	etag TEXT DEFAULT '' NOT NULL, 
	last_modified TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_feed_validators PRIMARY KEY (feed)
)
 STRICT

;
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
CREATE TABLE loads (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	feed TEXT NOT NULL, 
	start_time INTEGER NOT NULL, 
	end_time INTEGER, 
	status TEXT NOT NULL, 
	read_count INTEGER DEFAULT 0 NOT NULL, 
	inserted_count INTEGER DEFAULT 0 NOT NULL, 
	updated_count INTEGER DEFAULT 0 NOT NULL, 
	unchanged_count INTEGER DEFAULT 0 NOT NULL, 
	deleted_count INTEGER DEFAULT 0 NOT NULL, 
	kept_count INTEGER DEFAULT 0 NOT NULL, 
	rejected_count INTEGER DEFAULT 0 NOT NULL, 
	duplicate_count INTEGER DEFAULT 0 NOT NULL, 
	error TEXT DEFAULT '' NOT NULL
, warnings_count INTEGER DEFAULT 0 NOT NULL, first_warnings TEXT DEFAULT '[]' NOT NULL)
 STRICT

;
CREATE TABLE schema_compatibility (
	id INTEGER DEFAULT 1 NOT NULL, 
	oldest_revision TEXT NOT NULL, 
	CONSTRAINT pk_schema_compatibility PRIMARY KEY (id), 
	CONSTRAINT ck_schema_compatibility_one_row CHECK (id = 1)
)
 STRICT

;
INSERT INTO "schema_compatibility" VALUES(1,'0009');
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
CREATE INDEX ix_events_owner_id ON events (owner_id, id) WHERE owner_id IS NOT NULL;
CREATE INDEX ix_events_category ON events (category, id);
CREATE INDEX ix_events_publisher ON events (publisher, id);
CREATE INDEX ix_events_source_external_id ON events (source, external_id, id);
CREATE INDEX ix_users_email ON users (email, id);
CREATE INDEX ix_users_source_external_id ON users (source, external_id, id);
CREATE INDEX ix_idempotency_keys_create_time ON idempotency_keys (create_time);
CREATE INDEX ix_loads_feed ON loads (feed, id);
CREATE TRIGGER users_version AFTER UPDATE ON users WHEN NEW.version = OLD.version BEGIN
  UPDATE users SET version = OLD.version + 1 WHERE id = NEW.id;
END;
CREATE INDEX ix_event_changes_event_id ON event_changes (event_id, id);
CREATE TRIGGER events_replacing BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) BEGIN
  UPDATE change_context SET (replaced_after, replaced_id, replaced) =
    (SELECT (SELECT max(id) FROM event_changes), o.id, json_object('category', o.category, 'create_time', o.create_time, 'description', o.description, 'end_time', o.end_time, 'external_id', o.external_id, 'id', o.id, 'location', o.location, 'name', o.name, 'owner_id', o.owner_id, 'publisher', o.publisher, 'source', o.source, 'start_time', o.start_time, 'update_time', o.update_time, 'version', o.version) FROM events o WHERE o.id = NEW.id)
  WHERE id = 1;
END;
CREATE TRIGGER events_replacing_by_update BEFORE UPDATE ON events
WHEN NEW.id <> OLD.id AND EXISTS (SELECT 1 FROM events WHERE id = NEW.id) BEGIN
  UPDATE change_context SET (replaced_after, replaced_id, replaced) =
    (SELECT (SELECT max(id) FROM event_changes), o.id, json_object('category', o.category, 'create_time', o.create_time, 'description', o.description, 'end_time', o.end_time, 'external_id', o.external_id, 'id', o.id, 'location', o.location, 'name', o.name, 'owner_id', o.owner_id, 'publisher', o.publisher, 'source', o.source, 'start_time', o.start_time, 'update_time', o.update_time, 'version', o.version) FROM events o WHERE o.id = NEW.id)
  WHERE id = 1;
END;
CREATE TRIGGER events_created AFTER INSERT ON events WHEN TRUE BEGIN
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT NEW.id, CASE WHEN replaced_id IS NEW.id AND replaced_after = (SELECT max(id) FROM event_changes) THEN 2 ELSE 1 END, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, coalesce(principal, ''), coalesce(transaction_id, 0),
    json_object('category', NEW.category, 'create_time', NEW.create_time, 'description', NEW.description, 'end_time', NEW.end_time, 'external_id', NEW.external_id, 'id', NEW.id, 'location', NEW.location, 'name', NEW.name, 'owner_id', NEW.owner_id, 'publisher', NEW.publisher, 'source', NEW.source, 'start_time', NEW.start_time, 'update_time', NEW.update_time, 'version', NEW.version), CASE WHEN replaced_id IS NEW.id AND replaced_after = (SELECT max(id) FROM event_changes) THEN replaced END FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;
END;
CREATE TRIGGER events_deleted AFTER DELETE ON events WHEN TRUE BEGIN
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT OLD.id, 3, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, coalesce(principal, ''), coalesce(transaction_id, 0),
    json_object('category', OLD.category, 'create_time', OLD.create_time, 'description', OLD.description, 'end_time', OLD.end_time, 'external_id', OLD.external_id, 'id', OLD.id, 'location', OLD.location, 'name', OLD.name, 'owner_id', OLD.owner_id, 'publisher', OLD.publisher, 'source', OLD.source, 'start_time', OLD.start_time, 'update_time', OLD.update_time, 'version', OLD.version), NULL FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;
END;
CREATE TRIGGER events_updated AFTER UPDATE ON events WHEN NEW.id = OLD.id AND NEW.version <> OLD.version BEGIN
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT NEW.id, 2, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, coalesce(principal, ''), coalesce(transaction_id, 0),
    json_object('category', NEW.category, 'create_time', NEW.create_time, 'description', NEW.description, 'end_time', NEW.end_time, 'external_id', NEW.external_id, 'id', NEW.id, 'location', NEW.location, 'name', NEW.name, 'owner_id', NEW.owner_id, 'publisher', NEW.publisher, 'source', NEW.source, 'start_time', NEW.start_time, 'update_time', NEW.update_time, 'version', NEW.version), json_object('category', OLD.category, 'create_time', OLD.create_time, 'description', OLD.description, 'end_time', OLD.end_time, 'external_id', OLD.external_id, 'id', OLD.id, 'location', OLD.location, 'name', OLD.name, 'owner_id', OLD.owner_id, 'publisher', OLD.publisher, 'source', OLD.source, 'start_time', OLD.start_time, 'update_time', OLD.update_time, 'version', OLD.version) FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;
END;
CREATE TRIGGER events_moved AFTER UPDATE ON events WHEN NEW.id <> OLD.id BEGIN
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT NEW.id, CASE WHEN replaced_id IS NEW.id AND replaced_after = (SELECT max(id) FROM event_changes) THEN 2 ELSE 1 END, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, coalesce(principal, ''), coalesce(transaction_id, 0),
    json_object('category', NEW.category, 'create_time', NEW.create_time, 'description', NEW.description, 'end_time', NEW.end_time, 'external_id', NEW.external_id, 'id', NEW.id, 'location', NEW.location, 'name', NEW.name, 'owner_id', NEW.owner_id, 'publisher', NEW.publisher, 'source', NEW.source, 'start_time', NEW.start_time, 'update_time', NEW.update_time, 'version', NEW.version), CASE WHEN replaced_id IS NEW.id AND replaced_after = (SELECT max(id) FROM event_changes) THEN replaced END FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;
  INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
  SELECT OLD.id, 3, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, coalesce(principal, ''), coalesce(transaction_id, 0),
    json_object('category', OLD.category, 'create_time', OLD.create_time, 'description', OLD.description, 'end_time', OLD.end_time, 'external_id', OLD.external_id, 'id', OLD.id, 'location', OLD.location, 'name', OLD.name, 'owner_id', OLD.owner_id, 'publisher', OLD.publisher, 'source', OLD.source, 'start_time', OLD.start_time, 'update_time', OLD.update_time, 'version', OLD.version), NULL FROM (SELECT 1) LEFT JOIN change_context c ON c.id = 1;
END;
CREATE TRIGGER events_version AFTER UPDATE ON events WHEN NEW.id = OLD.id AND NEW.version = OLD.version BEGIN
  UPDATE events SET version = OLD.version + 1 WHERE id = NEW.id;
  UPDATE event_changes SET previous = json_object('category', OLD.category, 'create_time', OLD.create_time, 'description', OLD.description, 'end_time', OLD.end_time, 'external_id', OLD.external_id, 'id', OLD.id, 'location', OLD.location, 'name', OLD.name, 'owner_id', OLD.owner_id, 'publisher', OLD.publisher, 'source', OLD.source, 'start_time', OLD.start_time, 'update_time', OLD.update_time, 'version', OLD.version) WHERE id = (SELECT max(id) FROM event_changes);
END;
CREATE INDEX ix_events_name ON events (name, id);
CREATE INDEX ix_events_update_time ON events (update_time, id);
CREATE INDEX ix_events_external_id ON events (external_id, id) WHERE external_id <> '';
CREATE INDEX ix_events_length_start_time ON events ((CASE WHEN end_time - start_time <= 3600000000 THEN 0 WHEN end_time - start_time <= 14400000000 THEN 1 WHEN end_time - start_time <= 57600000000 THEN 2 WHEN end_time - start_time <= 230400000000 THEN 3 WHEN end_time - start_time <= 921600000000 THEN 4 WHEN end_time - start_time <= 3686400000000 THEN 5 WHEN end_time - start_time <= 14745600000000 THEN 6 WHEN end_time - start_time <= 58982400000000 THEN 7 WHEN end_time - start_time <= 235929600000000 THEN 8 WHEN end_time - start_time <= 943718400000000 THEN 9 WHEN end_time - start_time <= 3774873600000000 THEN 10 ELSE 11 END), start_time, id, end_time);
CREATE INDEX ix_events_length_end_time ON events ((CASE WHEN end_time - start_time <= 3600000000 THEN 0 WHEN end_time - start_time <= 14400000000 THEN 1 WHEN end_time - start_time <= 57600000000 THEN 2 WHEN end_time - start_time <= 230400000000 THEN 3 WHEN end_time - start_time <= 921600000000 THEN 4 WHEN end_time - start_time <= 3686400000000 THEN 5 WHEN end_time - start_time <= 14745600000000 THEN 6 WHEN end_time - start_time <= 58982400000000 THEN 7 WHEN end_time - start_time <= 235929600000000 THEN 8 WHEN end_time - start_time <= 943718400000000 THEN 9 WHEN end_time - start_time <= 3774873600000000 THEN 10 ELSE 11 END), end_time, id, start_time);
CREATE INDEX ix_events_category_length ON events (category, (CASE WHEN end_time - start_time <= 3600000000 THEN 0 WHEN end_time - start_time <= 14400000000 THEN 1 WHEN end_time - start_time <= 57600000000 THEN 2 WHEN end_time - start_time <= 230400000000 THEN 3 WHEN end_time - start_time <= 921600000000 THEN 4 WHEN end_time - start_time <= 3686400000000 THEN 5 WHEN end_time - start_time <= 14745600000000 THEN 6 WHEN end_time - start_time <= 58982400000000 THEN 7 WHEN end_time - start_time <= 235929600000000 THEN 8 WHEN end_time - start_time <= 943718400000000 THEN 9 WHEN end_time - start_time <= 3774873600000000 THEN 10 ELSE 11 END), start_time, id, end_time);
CREATE INDEX ix_events_publisher_length ON events (publisher, (CASE WHEN end_time - start_time <= 3600000000 THEN 0 WHEN end_time - start_time <= 14400000000 THEN 1 WHEN end_time - start_time <= 57600000000 THEN 2 WHEN end_time - start_time <= 230400000000 THEN 3 WHEN end_time - start_time <= 921600000000 THEN 4 WHEN end_time - start_time <= 3686400000000 THEN 5 WHEN end_time - start_time <= 14745600000000 THEN 6 WHEN end_time - start_time <= 58982400000000 THEN 7 WHEN end_time - start_time <= 235929600000000 THEN 8 WHEN end_time - start_time <= 943718400000000 THEN 9 WHEN end_time - start_time <= 3774873600000000 THEN 10 ELSE 11 END), start_time, id, end_time, category);
CREATE INDEX ix_events_owner_id_length ON events (owner_id, (CASE WHEN end_time - start_time <= 3600000000 THEN 0 WHEN end_time - start_time <= 14400000000 THEN 1 WHEN end_time - start_time <= 57600000000 THEN 2 WHEN end_time - start_time <= 230400000000 THEN 3 WHEN end_time - start_time <= 921600000000 THEN 4 WHEN end_time - start_time <= 3686400000000 THEN 5 WHEN end_time - start_time <= 14745600000000 THEN 6 WHEN end_time - start_time <= 58982400000000 THEN 7 WHEN end_time - start_time <= 235929600000000 THEN 8 WHEN end_time - start_time <= 943718400000000 THEN 9 WHEN end_time - start_time <= 3774873600000000 THEN 10 ELSE 11 END), start_time, id, end_time) WHERE owner_id IS NOT NULL;
CREATE TRIGGER event_text_created AFTER INSERT ON events WHEN NEW.id <= (SELECT last_id FROM event_text_progress) BEGIN
  INSERT INTO event_text_queue (event_id)
  SELECT NEW.id WHERE NEW.id <= (SELECT last_id FROM event_text_progress) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER event_text_updated AFTER UPDATE ON events WHEN NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.description <> OLD.description OR NEW.location <> OLD.location BEGIN
  INSERT INTO event_text_queue (event_id, name, description, location)
  SELECT OLD.id, OLD.name, OLD.description, OLD.location WHERE OLD.id <= (SELECT last_id FROM event_text_progress) ON CONFLICT DO NOTHING;
  INSERT INTO event_text_queue (event_id)
  SELECT NEW.id WHERE NEW.id <= (SELECT last_id FROM event_text_progress) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER event_text_deleted AFTER DELETE ON events BEGIN
  INSERT INTO event_text_queue (event_id, name, description, location)
  SELECT OLD.id, OLD.name, OLD.description, OLD.location WHERE OLD.id <= (SELECT last_id FROM event_text_progress) ON CONFLICT DO NOTHING;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('users',7);
INSERT INTO "sqlite_sequence" VALUES('events',9);
INSERT INTO "sqlite_sequence" VALUES('event_changes',0);
COMMIT;
CREATE VIRTUAL TABLE event_texts USING fts5(name, description, location, content='', columnsize=0, detail=column, tokenize='trigram case_sensitive 1');
INSERT INTO event_texts (event_texts, rank) VALUES ('automerge', 0);
INSERT INTO event_texts (event_texts, rank) VALUES ('crisismerge', 100);
INSERT INTO event_texts (event_texts, rank) VALUES ('usermerge', 8);
