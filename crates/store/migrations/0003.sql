-- Version 3. What 0001.sql says of types and of PostgreSQL holds here too.

-- What features remember of an account: small values, each under a namespace and a name in it.
CREATE TABLE account_data (
    account   BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    namespace TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    value     BLOB   NOT NULL,
    PRIMARY KEY (account, namespace, name)
) WITHOUT ROWID;

-- Archives. Each gives its rows numbers of its own, which only grow. `highest` is the highest that
-- it ever gave, as far as its rows no longer say it; `confirmed`, how far a device of the owner has
-- confirmed what was received; `bytes`, how many its rows have in sum.
--
-- The archive of an account that is older than this table has the account's number, and goes on
-- with numbers above all that were given before: clients remember both.
CREATE TABLE archives (
    id        INTEGER NOT NULL PRIMARY KEY,
    account   BIGINT  NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    highest   BIGINT  NOT NULL,
    confirmed BIGINT  NOT NULL,
    bytes     BIGINT  NOT NULL
);
INSERT INTO archives (id, account, highest, confirmed, bytes)
    SELECT a.id, a.id, given.highest, COALESCE(c.seq, 0), 0
    FROM accounts a
    CROSS JOIN (
        SELECT MAX(every.value) AS highest FROM (
            SELECT COALESCE(MAX(id), 0) AS value FROM messages
            UNION ALL SELECT COALESCE(MAX(seq), 0) FROM cursors
            UNION ALL SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'seq'
        ) AS every
    ) AS given
    LEFT JOIN cursors c ON c.account = a.id;
INSERT INTO numbers (name, value) SELECT 'archive', value FROM numbers WHERE name = 'account';
DELETE FROM numbers WHERE name = 'seq';

-- A message, whichever archives have it: `holders` says how many rows refer to it. Whoever removes
-- one of those counts it down, and the last one removes it.
--
-- kept_at is in even time, and messages age by it. The sender's resource stands here because the
-- stanza is kept without `from`: a renamed domain is right when it is read.
CREATE TABLE bodies (
    id       INTEGER NOT NULL PRIMARY KEY,
    holders  BIGINT  NOT NULL,
    kept_at  BIGINT  NOT NULL,
    resource TEXT,
    stanza   BLOB    NOT NULL
);

-- The other sides of the messages of an archive, each with a number in it: an address is long, and
-- stands in every row and in the index by peer. One goes with the last row that names it.
CREATE TABLE peers (
    archive BIGINT NOT NULL,
    id      BIGINT NOT NULL,
    address TEXT   NOT NULL,
    PRIMARY KEY (archive, id)
) WITHOUT ROWID;

-- The rows of the archives. `peer` is the number of the other side. `direction`: 0 the owner received it, 1 the owner sent it, 2 the owner
-- receives it and it is kept only until it is delivered (XEP-0334, no-permanent-store). `at` is
-- when it was accepted, as people are told; `bytes` the length of the stanza, so that what waits is
-- counted without reading bodies.
CREATE TABLE archive_rows (
    archive   BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    peer      BIGINT NOT NULL,
    direction BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    body      BIGINT NOT NULL,
    PRIMARY KEY (archive, seq)
) WITHOUT ROWID;

INSERT INTO peers (archive, id, address)
    SELECT archive, ROW_NUMBER() OVER (PARTITION BY archive ORDER BY peer), peer FROM (
        SELECT DISTINCT b.archive, b.peer
        FROM mailbox b JOIN archives a ON a.id = b.archive
        JOIN messages m ON m.id = b.seq AND b.archive IN (m.sender_archive, m.recipient_archive)
    ) AS named;
CREATE UNIQUE INDEX peers_address ON peers (archive, address);
INSERT INTO archive_rows (archive, seq, at, peer, direction, bytes, body)
    SELECT b.archive, b.seq, b.at, p.id, b.direction, LENGTH(m.stanza), m.id
    FROM mailbox b JOIN peers p ON p.archive = b.archive AND p.address = b.peer
    JOIN messages m ON m.id = b.seq AND b.archive IN (m.sender_archive, m.recipient_archive)
    ORDER BY b.archive, b.seq;
UPDATE archives SET bytes = (SELECT CAST(COALESCE(SUM(r.bytes), 0) AS BIGINT)
    FROM archive_rows r WHERE r.archive = archives.id);
INSERT INTO bodies (id, holders, kept_at, resource, stanza)
    SELECT id, holders, at, sender_resource, stanza FROM (
        SELECT m.id, m.at, m.sender_resource, m.stanza,
            (SELECT COUNT(*) FROM archive_rows r WHERE r.seq = m.id
                AND r.archive IN (m.sender_archive, m.recipient_archive)) AS holders
        FROM messages m
    ) AS held WHERE holders > 0 ORDER BY id;

-- The rows of new messages, in the order in which they came, until they are moved into
-- `archive_rows`. `second_…` is the second row, if there is one. The body of a message
-- is in `bodies` at once.
CREATE TABLE journal (
    body             INTEGER NOT NULL PRIMARY KEY,
    at               BIGINT  NOT NULL,
    bytes            BIGINT  NOT NULL,
    archive          BIGINT  NOT NULL,
    seq              BIGINT  NOT NULL,
    peer             BIGINT  NOT NULL,
    direction        BIGINT  NOT NULL,
    second_archive   BIGINT,
    second_seq       BIGINT,
    second_peer      BIGINT,
    second_direction BIGINT
);

-- The stamp of the message that was stored last.
INSERT INTO numbers (name, value) SELECT 'stamp', at FROM mailbox ORDER BY at DESC LIMIT 1;

DROP TABLE mailbox;
DROP TABLE messages;
DROP TABLE cursors;

-- The numbers of a conversation's rows, and nothing else of them: it is as long as the archive.
CREATE INDEX archive_rows_peer ON archive_rows (archive, peer, seq);
-- There are few of these, and they are looked for by this alone. `direction` is a column of it, since
-- SQLite prefers the primary key to an index that says no more; and `body`, for which they are read.
CREATE INDEX archive_rows_passing ON archive_rows (direction, archive, seq, body)
    WHERE direction = 2;

-- By what repeats of the messages of a day are recognised: hashes of 16 bytes each of messages that
-- came together, and when. What `origins` holds is carried over by the program, since SQL cannot
-- compute the hashes.
CREATE TABLE repeats (
    id     INTEGER NOT NULL PRIMARY KEY,
    at     BIGINT  NOT NULL,
    hashes BLOB    NOT NULL
);
DROP TABLE origins;

-- How often the password of an account was set. Whoever proved one before the last change has
-- proved nothing any more.
ALTER TABLE accounts ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;

-- When somebody registered the account, in even time; NULL: the operator made it, or it is older than
-- this column.
ALTER TABLE accounts ADD COLUMN registered_at BIGINT;
CREATE INDEX accounts_registered ON accounts (registered_at) WHERE registered_at IS NOT NULL;

-- The names of removed accounts, which nobody can register for a while: `at` is when, in even time,
-- and `lived` how long there was the account.
CREATE TABLE removed_names (
    domain    BIGINT NOT NULL REFERENCES domains (id),
    localpart TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    lived     BIGINT NOT NULL,
    PRIMARY KEY (domain, localpart)
) WITHOUT ROWID;
CREATE INDEX removed_names_lived ON removed_names (domain, lived);

-- What recognises a proof of a former password: the last two of each account. `changed_at` is when
-- it was changed, as people are told; `at` the same in even time, by which it is forgotten.
CREATE TABLE former_credentials (
    account    BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    mechanism  TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    stored_key BLOB   NOT NULL,
    changed_at BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (account, mechanism, generation)
) WITHOUT ROWID;
CREATE INDEX former_credentials_at ON former_credentials (at);

-- What is of a certain time is found without a look at the rest, of which there can be much.
CREATE INDEX throttle_since ON throttle (since);
CREATE INDEX departures_at ON departures (at);

-- What is left of accounts that are removed: their rows in the tables below and in
-- `archive_rows`, which go in pieces; and, while `holder` is not NULL, their names in the rosters of
-- others. `holder` is the last account whose roster was looked at; `seq`, up to where the rows of
-- the archive are gone, so that nobody looks for them where they were.
CREATE TABLE removals (
    account   INTEGER NOT NULL PRIMARY KEY,
    archive   BIGINT  NOT NULL,
    domain    BIGINT  NOT NULL REFERENCES domains (id),
    localpart TEXT    NOT NULL,
    holder    BIGINT,
    seq       BIGINT  NOT NULL
);
CREATE INDEX removals_holder ON removals (holder) WHERE holder IS NOT NULL;

-- The tables of which one account can have many rows, without the key that removed all of them with
-- the account at once. Only with the table can SQLite change a key.
ALTER TABLE places RENAME TO old_places;
CREATE TABLE places (
    account BIGINT NOT NULL,
    place   TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (account, place)
) WITHOUT ROWID;
INSERT INTO places (account, place, at) SELECT account, place, at FROM old_places;
DROP TABLE old_places;
CREATE INDEX places_at ON places (at);

ALTER TABLE online RENAME TO old_online;
CREATE TABLE online (
    id       INTEGER NOT NULL PRIMARY KEY,
    account  BIGINT NOT NULL,
    from_at  BIGINT NOT NULL,
    until_at BIGINT
);
INSERT INTO online (id, account, from_at, until_at)
    SELECT id, account, from_at, until_at FROM old_online;
DROP TABLE old_online;
CREATE INDEX online_account ON online (account, until_at);
CREATE INDEX online_until ON online (until_at);

ALTER TABLE roster RENAME TO old_roster;
CREATE TABLE roster (
    account      BIGINT NOT NULL,
    contact      TEXT   NOT NULL,
    listed       BIGINT NOT NULL,
    name         TEXT   NOT NULL,
    in_groups    TEXT   NOT NULL,
    subscription BIGINT NOT NULL,
    ask          BIGINT NOT NULL,
    approved     BIGINT NOT NULL,
    request      BLOB   NOT NULL,
    version      BIGINT NOT NULL,
    PRIMARY KEY (account, contact)
) WITHOUT ROWID;
INSERT INTO roster (account, contact, listed, name, in_groups, subscription, ask, approved,
        request, version)
    SELECT account, contact, listed, name, in_groups, subscription, ask, approved, request, version
    FROM old_roster;
DROP TABLE old_roster;
CREATE INDEX roster_contact ON roster (contact);

-- To whom the operator has given an administrator's right, and when, as people are told.
CREATE TABLE administrators (
    account    BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (account)
) WITHOUT ROWID;

-- The devices that were given a token to log in with (XEP-0484). `id` is what the client has named its
-- installation; `number`, what people call it. `used_at` is when it logged in last, as people are
-- told; `at`, the same in even time, by which it is forgotten.
CREATE TABLE devices (
    account  BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    id       TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    software TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    made_at  BIGINT NOT NULL,
    used_at  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE INDEX devices_at ON devices (at);

-- Their tokens, by slot: 0 the new one, 1 the current one, 2 the former one. They are keys in clear,
-- so no backup has them. `generation` is that of the password by which one was given; `given_at` is in
-- even time; `count`, the highest that came with it, -1 if none did.
CREATE TABLE tokens (
    account    BIGINT NOT NULL,
    device     TEXT   NOT NULL,
    slot       BIGINT NOT NULL,
    token      TEXT   NOT NULL,
    mechanism  TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    given_at   BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (account, device, slot),
    FOREIGN KEY (account, device) REFERENCES devices (account, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX tokens_given_at ON tokens (given_at);
