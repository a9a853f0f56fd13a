-- Version 1: the first schema.
--
-- Types are BIGINT, TEXT and BLOB alone; times are microseconds since 1970, UTC. What differs
-- on PostgreSQL is the declaration, never a statement: BLOB is BYTEA there, WITHOUT ROWID goes,
-- TEXT is COLLATE "C", so that both databases sort names by their bytes, and INTEGER PRIMARY KEY,
-- which SQLite needs to find a row without a second index, is BIGINT PRIMARY KEY.
--
-- No column holds the text of an own domain: see address.rs for how an address is a key.

-- Counters that only grow: the last id given to each kind of row, the highest seq ever used.
CREATE TABLE numbers (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE domains (
    id   INTEGER NOT NULL PRIMARY KEY,
    name TEXT   NOT NULL UNIQUE
);

CREATE TABLE accounts (
    id          INTEGER NOT NULL PRIMARY KEY,
    domain      BIGINT NOT NULL REFERENCES domains (id),
    localpart   TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    last_active BIGINT NOT NULL,
    UNIQUE (domain, localpart)
);

CREATE TABLE credentials (
    account    BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    mechanism  TEXT   NOT NULL,
    salt       BLOB   NOT NULL,
    iterations BIGINT NOT NULL,
    stored_key BLOB   NOT NULL,
    server_key BLOB   NOT NULL,
    PRIMARY KEY (account, mechanism)
) WITHOUT ROWID;

CREATE TABLE blocks (
    account BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    jid     TEXT   NOT NULL,
    PRIMARY KEY (account, jid)
) WITHOUT ROWID;

-- Where an account logged in from, and when last.
CREATE TABLE places (
    account BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    place   TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (account, place)
) WITHOUT ROWID;
CREATE INDEX places_at ON places (at);

-- Failed logins, by what they are counted for.
CREATE TABLE throttle (
    scope         TEXT   NOT NULL PRIMARY KEY,
    failures      BIGINT NOT NULL,
    since         BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
) WITHOUT ROWID;

-- When an account was online; until_at is NULL while it is.
CREATE TABLE online (
    id       INTEGER NOT NULL PRIMARY KEY,
    account  BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    from_at  BIGINT NOT NULL,
    until_at BIGINT
);
CREATE INDEX online_account ON online (account, until_at);
CREATE INDEX online_until ON online (until_at);

-- The log. A message is stored once, with a row in the mailbox of each side that keeps it;
-- sender_archive and recipient_archive say whose, so that no search is needed to find the other.
-- These tables refer to accounts without a foreign key: a message on its way to an account that
-- has just been removed must not fail the batch it is in.
CREATE TABLE messages (
    id                INTEGER NOT NULL PRIMARY KEY,
    at                BIGINT NOT NULL,
    sender            TEXT   NOT NULL,
    sender_resource   TEXT,
    recipient         TEXT   NOT NULL,
    sender_archive    BIGINT,
    recipient_archive BIGINT,
    stanza            BLOB   NOT NULL
);
CREATE INDEX messages_at ON messages (at);

-- direction: 0 the archive's owner received it, 1 the owner sent it.
CREATE TABLE mailbox (
    archive   BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    peer      TEXT   NOT NULL,
    direction BIGINT NOT NULL,
    PRIMARY KEY (archive, seq)
) WITHOUT ROWID;
-- Holds every column: without the last two SQLite reads the whole mailbox for one conversation.
CREATE INDEX mailbox_peer ON mailbox (archive, peer, seq, at, direction);

-- How far a device of the account has confirmed.
CREATE TABLE cursors (
    account INTEGER NOT NULL PRIMARY KEY,
    seq     BIGINT NOT NULL
);

-- Which origin-ids were accepted lately, so that a repeat is seen.
CREATE TABLE origins (
    sender    BIGINT NOT NULL,
    recipient TEXT   NOT NULL,
    origin    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    PRIMARY KEY (sender, recipient, origin)
) WITHOUT ROWID;
CREATE INDEX origins_at ON origins (at);
