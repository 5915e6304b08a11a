-- A database as revision 0001 left it, with data. It is never edited: databases like it exist.
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
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
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('public.users_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.events VALUES (1, 'Première 🎉', 'It''s "quoted"; -- and
of two lines', 'party', '京都', 'Release team', -62135596800000000, 253402300799999999, 1, '', '', 1767225600000005, 1767225600000009, 5);
INSERT INTO public.events VALUES (2, 'At the epoch', '', '', '', '', 0, 0, NULL, 'feed', 'x-1', 1767225600000006, 1767225600000006, 1);
INSERT INTO public.secrets VALUES ('page_token', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
INSERT INTO public.users VALUES (1, 'Ada@Example.com', 'Ada', 'Lovelace', '', '', 1767225600000001, 1767225600000002, 3);
INSERT INTO public.users VALUES (2, 'grace@example.com', 'Grace', 'O''Hopper', 'staff', 'g-1', 1767225600000003, 1767225600000003, 1);
SELECT pg_catalog.setval('public.events_id_seq', 9, true);
SELECT pg_catalog.setval('public.users_id_seq', 7, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT pk_secrets PRIMARY KEY (name);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
CREATE INDEX ix_events_owner_id ON public.events USING btree (owner_id);
CREATE UNIQUE INDEX ux_users_email ON public.users USING btree (lower(email));
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);
