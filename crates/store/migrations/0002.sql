-- Version 2. What 0001.sql says of types and of PostgreSQL holds here too.

-- mailbox.direction: 2 is received too, but kept only until it is delivered (XEP-0334,
-- no-permanent-store). There are few of these, and they are looked for by this alone.
CREATE INDEX mailbox_passing ON mailbox (archive, seq) WHERE direction = 2;

-- Rosters (RFC 6121, 2), by the key of the contact's address. A row with listed = 1 is a contact as
-- the person sees it; one with listed = 0 is a request to subscribe that waits for an answer, or,
-- when its version is not 0, what is left of a contact so that a client that knows an older roster
-- hears that it is gone.
--
-- in_groups: the names of the groups, each behind a U+001F, which no XML can hold.
-- subscription: 1 if the owner sees the contact's presence, plus 2 if the contact sees the owner's.
-- request: the stanza by which the contact asked, empty if it does not ask.
CREATE TABLE roster (
    account      BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
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
CREATE INDEX roster_contact ON roster (contact);

-- The version of each roster that was ever changed, and the one since which all changes are known.
CREATE TABLE roster_versions (
    account     INTEGER NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    version     BIGINT  NOT NULL,
    known_since BIGINT  NOT NULL
);

-- When an account last went, and what its user said in going (XEP-0012).
CREATE TABLE departures (
    account INTEGER NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    at      BIGINT  NOT NULL,
    status  TEXT    NOT NULL
);
