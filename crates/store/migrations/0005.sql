-- Version 5. What 0001.sql says of types and of PostgreSQL holds here too.

-- An archive is of an account or of a room. No key ties it to a room, which leaves it to be removed
-- in pieces. Only with the table can SQLite allow that there is no account.
ALTER TABLE archives RENAME TO old_archives;
CREATE TABLE archives (
    id        INTEGER NOT NULL PRIMARY KEY,
    account   BIGINT UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    room      BIGINT UNIQUE,
    highest   BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    bytes     BIGINT NOT NULL
);
INSERT INTO archives (id, account, room, highest, confirmed, bytes)
    SELECT id, account, NULL, highest, confirmed, bytes FROM old_archives;
DROP TABLE old_archives;

-- Rooms (XEP-0045). One that is not `persistent` is gone when nobody is in it, and so at a start;
-- `listed`, whether strangers find it, by its name for people, `title`. `config` is what the feature
-- wrote; `secret`, by what its occupants are told apart. The subject is the stanza that set it, as it
-- is kept in an archive, with the nickname of who did, and when, as people are told; NULL: it has never
-- had one.
CREATE TABLE rooms (
    id         INTEGER NOT NULL PRIMARY KEY,
    domain     BIGINT NOT NULL REFERENCES domains (id),
    name       TEXT   NOT NULL,
    persistent BIGINT NOT NULL,
    listed     BIGINT NOT NULL,
    title      TEXT   NOT NULL,
    config     BLOB   NOT NULL,
    secret     BLOB   NOT NULL,
    subject    BLOB,
    subject_by TEXT,
    subject_at BIGINT
);
CREATE UNIQUE INDEX rooms_name ON rooms (domain, name);
CREATE INDEX rooms_listed ON rooms (domain, name) WHERE listed = 1;
CREATE INDEX rooms_passing ON rooms (id) WHERE persistent = 0;

-- Who is what in a room. `who` is a bare address in its stored form, or a domain; `nick` the nickname
-- that is kept for them, if one is; `since`, when they became that, as people are told.
CREATE TABLE room_affiliations (
    room        BIGINT NOT NULL,
    who         TEXT   NOT NULL,
    affiliation BIGINT NOT NULL,
    nick        TEXT,
    since       BIGINT NOT NULL,
    PRIMARY KEY (room, who)
) WITHOUT ROWID;
CREATE INDEX room_affiliations_who ON room_affiliations (who, affiliation);

-- What a room shows of itself: a vCard, and the hashes of the photos in it, as the feature wrote them.
CREATE TABLE room_cards (
    room   INTEGER NOT NULL PRIMARY KEY,
    photos TEXT    NOT NULL,
    card   BLOB    NOT NULL
);

-- Rooms that are gone, and of which the table above and `archive_rows` have rows that go in pieces;
-- `seq`, up to where those of the archive are gone.
CREATE TABLE rooms_gone (
    room    INTEGER NOT NULL PRIMARY KEY,
    archive BIGINT  NOT NULL,
    seq     BIGINT  NOT NULL
);
