-- A database as revision 0014 left it, with data. It is never edited: databases like it exist.
CREATE FUNCTION public.artemis_log_event_changes() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  now_micros bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  author text := coalesce(current_setting('artemis.principal', true), '');
  number bigint := pg_current_xact_id()::text::bigint;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT n.id, 1, now_micros, author, number, row_to_json(n)::text FROM new_rows n;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT o.id, 3, now_micros, author, number, row_to_json(o)::text FROM old_rows o
    -- A statement that also gave the id to another row has logged that: its trigger for deletes comes last.
    WHERE (SELECT e.id FROM events e WHERE e.id = o.id) IS NULL;
  ELSIF TG_OP = 'TRUNCATE' THEN
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state)
    SELECT o.id, 3, now_micros, author, number, row_to_json(o)::text FROM events o;
  ELSE
    -- A full join is never a nested loop, whatever number of rows the plan was made for. A changed id leaves both its
    -- rows without a partner.
    INSERT INTO event_changes (event_id, type, time, principal, transaction_id, state, previous)
    SELECT coalesce(n.id, o.id), CASE WHEN n.id IS NULL THEN 3 WHEN o.id IS NULL THEN 1 ELSE 2 END,
      now_micros, author, number,
      CASE WHEN n.id IS NULL THEN row_to_json(o) ELSE row_to_json(n) END::text,
      CASE WHEN n.id IS NOT NULL AND o.id IS NOT NULL THEN row_to_json(o)::text END
    FROM new_rows n FULL JOIN old_rows o ON o.id = n.id;
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION public.artemis_next_version() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.change_context (
    id integer NOT NULL,
    transaction_id bigint DEFAULT 0 NOT NULL,
    principal text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    replaced_after bigint,
    replaced_id bigint,
    replaced text
);
CREATE TABLE public.event_changes (
    id bigint NOT NULL,
    event_id bigint NOT NULL,
    type integer NOT NULL,
    "time" bigint NOT NULL,
    principal text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    transaction_id bigint DEFAULT 0 NOT NULL,
    state text NOT NULL,
    previous text
);
CREATE SEQUENCE public.event_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_changes_id_seq OWNED BY public.event_changes.id;
CREATE TABLE public.events (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    description text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    category text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    location text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    publisher text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    start_time bigint NOT NULL,
    end_time bigint NOT NULL,
    owner_id bigint,
    source text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    external_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT ck_events_end_time CHECK ((end_time >= start_time))
);
CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.feed_validators (
    feed text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    etag text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    last_modified text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.idempotency_keys (
    request_id bytea NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea NOT NULL,
    create_time bigint NOT NULL
);
CREATE TABLE public.loads (
    id bigint NOT NULL,
    feed text NOT NULL COLLATE pg_catalog."C",
    start_time bigint NOT NULL,
    end_time bigint,
    status text NOT NULL COLLATE pg_catalog."C",
    read_count bigint DEFAULT 0 NOT NULL,
    inserted_count bigint DEFAULT 0 NOT NULL,
    updated_count bigint DEFAULT 0 NOT NULL,
    unchanged_count bigint DEFAULT 0 NOT NULL,
    deleted_count bigint DEFAULT 0 NOT NULL,
    kept_count bigint DEFAULT 0 NOT NULL,
    rejected_count bigint DEFAULT 0 NOT NULL,
    duplicate_count bigint DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    warnings_count bigint DEFAULT 0 NOT NULL,
    first_warnings text DEFAULT '[]'::text NOT NULL
);
CREATE SEQUENCE public.loads_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.loads_id_seq OWNED BY public.loads.id;
CREATE TABLE public.schema_compatibility (
    id integer DEFAULT 1 NOT NULL,
    oldest_revision text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT ck_schema_compatibility_one_row CHECK ((id = 1))
);
CREATE TABLE public.secrets (
    name text NOT NULL COLLATE pg_catalog."C",
    value bytea NOT NULL
);
CREATE TABLE public.users (
    id bigint NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    first_name text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    last_name text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    source text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    external_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    version bigint DEFAULT 1 NOT NULL
);
CREATE SEQUENCE public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.users_id_seq OWNED BY public.users.id;
ALTER TABLE ONLY public.event_changes ALTER COLUMN id SET DEFAULT nextval('public.event_changes_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.loads ALTER COLUMN id SET DEFAULT nextval('public.loads_id_seq'::regclass);
ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('public.users_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0014');
INSERT INTO public.change_context VALUES (1, 0, '', NULL, NULL, NULL);
INSERT INTO public.event_changes VALUES (0, 0, 0, 1795693182615888, '', 754, '{}', NULL);
INSERT INTO public.events VALUES (1, 'Première 🎉', 'It''s "quoted"; -- and
of two lines', 'party', '京都', 'Release team', -62135596800000000, 253402300799999999, 1, '', '', 1767225600000005, 1767225600000009, 5);
INSERT INTO public.events VALUES (2, 'At the epoch', '', '', '', '', 0, 0, NULL, 'feed', 'x-1', 1767225600000006, 1767225600000006, 1);
INSERT INTO public.feed_validators VALUES ('feed', 'f0', '"e"', '');
INSERT INTO public.idempotency_keys VALUES ('\x0b7d6e3c94a44d1c8d5e6f1f0c2a9b11', '\x00ff', '\x080112', 1767225600000010);
INSERT INTO public.loads VALUES (1, 'feed', 1767225600000011, 1767225600000012, 'loaded', 1, 1, 0, 0, 0, 0, 0, 0, '', 0, '[]');
INSERT INTO public.schema_compatibility VALUES (1, '0009');
INSERT INTO public.secrets VALUES ('page_token', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
INSERT INTO public.users VALUES (1, 'Ada@Example.com', 'Ada', 'Lovelace', '', '', 1767225600000001, 1767225600000002, 3);
INSERT INTO public.users VALUES (2, 'grace@example.com', 'Grace', 'O''Hopper', 'staff', 'g-1', 1767225600000003, 1767225600000003, 1);
SELECT pg_catalog.setval('public.event_changes_id_seq', 1, false);
SELECT pg_catalog.setval('public.events_id_seq', 9, true);
SELECT pg_catalog.setval('public.loads_id_seq', 1, true);
SELECT pg_catalog.setval('public.users_id_seq', 7, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.change_context
    ADD CONSTRAINT pk_change_context PRIMARY KEY (id);
ALTER TABLE ONLY public.event_changes
    ADD CONSTRAINT pk_event_changes PRIMARY KEY (id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.feed_validators
    ADD CONSTRAINT pk_feed_validators PRIMARY KEY (feed);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT pk_idempotency_keys PRIMARY KEY (request_id);
ALTER TABLE ONLY public.loads
    ADD CONSTRAINT pk_loads PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_compatibility
    ADD CONSTRAINT pk_schema_compatibility PRIMARY KEY (id);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT pk_secrets PRIMARY KEY (name);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
CREATE INDEX ix_event_changes_event_id ON public.event_changes USING btree (event_id, id);
CREATE INDEX ix_event_changes_transaction_id ON public.event_changes USING btree (transaction_id, id);
CREATE INDEX ix_events_category ON public.events USING btree (category, id);
CREATE INDEX ix_events_category_length ON public.events USING btree (category, width_bucket((end_time - start_time), '{3600000001,14400000001,57600000001,230400000001,921600000001,3686400000001,14745600000001,58982400000001,235929600000001,943718400000001,3774873600000001}'::bigint[]), start_time, id, end_time);
CREATE INDEX ix_events_external_id ON public.events USING btree (external_id, id) WHERE (external_id <> ''::text);
CREATE INDEX ix_events_length_end_time ON public.events USING btree (width_bucket((end_time - start_time), '{3600000001,14400000001,57600000001,230400000001,921600000001,3686400000001,14745600000001,58982400000001,235929600000001,943718400000001,3774873600000001}'::bigint[]), end_time, id, start_time);
CREATE INDEX ix_events_length_start_time ON public.events USING btree (width_bucket((end_time - start_time), '{3600000001,14400000001,57600000001,230400000001,921600000001,3686400000001,14745600000001,58982400000001,235929600000001,943718400000001,3774873600000001}'::bigint[]), start_time, id, end_time);
CREATE INDEX ix_events_name ON public.events USING btree (name, id);
CREATE INDEX ix_events_owner_id ON public.events USING btree (owner_id, id) WHERE (owner_id IS NOT NULL);
CREATE INDEX ix_events_owner_id_length ON public.events USING btree (owner_id, width_bucket((end_time - start_time), '{3600000001,14400000001,57600000001,230400000001,921600000001,3686400000001,14745600000001,58982400000001,235929600000001,943718400000001,3774873600000001}'::bigint[]), start_time, id, end_time) WHERE (owner_id IS NOT NULL);
CREATE INDEX ix_events_publisher ON public.events USING btree (publisher, id);
CREATE INDEX ix_events_publisher_length ON public.events USING btree (publisher, width_bucket((end_time - start_time), '{3600000001,14400000001,57600000001,230400000001,921600000001,3686400000001,14745600000001,58982400000001,235929600000001,943718400000001,3774873600000001}'::bigint[]), start_time, id, end_time, category);
CREATE INDEX ix_events_source_external_id ON public.events USING btree (source, external_id, id);
CREATE INDEX ix_events_update_time ON public.events USING btree (update_time, id);
CREATE INDEX ix_idempotency_keys_create_time ON public.idempotency_keys USING btree (create_time);
CREATE INDEX ix_loads_feed ON public.loads USING btree (feed, id);
CREATE INDEX ix_users_email ON public.users USING btree (email, id);
CREATE INDEX ix_users_source_external_id ON public.users USING btree (source, external_id, id);
CREATE UNIQUE INDEX ux_users_email ON public.users USING btree (lower(email));
CREATE TRIGGER events_created AFTER INSERT ON public.events REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.artemis_log_event_changes();
CREATE TRIGGER events_deleted AFTER DELETE ON public.events REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.artemis_log_event_changes();
CREATE TRIGGER events_truncated BEFORE TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.artemis_log_event_changes();
CREATE TRIGGER events_updated AFTER UPDATE ON public.events REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.artemis_log_event_changes();
CREATE TRIGGER events_version BEFORE UPDATE ON public.events FOR EACH ROW WHEN ((new.version = old.version)) EXECUTE FUNCTION public.artemis_next_version();
CREATE TRIGGER users_version BEFORE UPDATE ON public.users FOR EACH ROW WHEN ((new.version = old.version)) EXECUTE FUNCTION public.artemis_next_version();
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);
