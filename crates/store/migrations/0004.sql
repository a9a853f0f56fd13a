-- Version 4. What 0001.sql says of types and of PostgreSQL holds here too.

-- The nodes of publish-subscribe. `owner` is the number of an account, or 0 for the service of the
-- domain, so no key ties them to the accounts; `config` is what the feature wrote. The items of a node
-- stand under `contents`, which is another number from then on when it is purged: numbers of nodes
-- and of contents are of one kind and never given twice. `items` and `bytes` are how many it has and
-- how long they are in sum; `last` is the highest number that an item of it ever had.
CREATE TABLE pubsub_nodes (
    id       INTEGER NOT NULL PRIMARY KEY,
    owner    BIGINT  NOT NULL,
    name     TEXT    NOT NULL,
    config   BLOB    NOT NULL,
    contents BIGINT  NOT NULL,
    items    BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    last     BIGINT  NOT NULL
);
CREATE UNIQUE INDEX pubsub_nodes_name ON pubsub_nodes (owner, name);

-- Their items. One that is published again gets a new `seq`, so the last is the highest. `publisher`
-- is an address in its stored form, as people are told, and `account` the number of its account, or 0
-- if it is of none here: whose the item is. `at` is when it was published; `bytes`, how long the id and
-- the payload are.
CREATE TABLE pubsub_items (
    contents  BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    id        TEXT   NOT NULL,
    publisher TEXT   NOT NULL,
    account   BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    payload   BLOB   NOT NULL,
    PRIMARY KEY (contents, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX pubsub_items_id ON pubsub_items (contents, id);

-- Who is what at a node, and who is subscribed to it. `who` is an address in its stored form: bare in
-- the first, bare or of one device in the second. `owner` is that of the node: what somebody is at all
-- nodes of one owner is found without those of others. What the numbers and options mean, the feature
-- knows.
CREATE TABLE pubsub_affiliations (
    node        BIGINT NOT NULL,
    who         TEXT   NOT NULL,
    owner       BIGINT NOT NULL,
    affiliation BIGINT NOT NULL,
    PRIMARY KEY (node, who)
) WITHOUT ROWID;
CREATE INDEX pubsub_affiliations_who ON pubsub_affiliations (who, owner);

CREATE TABLE pubsub_subscriptions (
    node    BIGINT NOT NULL,
    who     TEXT   NOT NULL,
    owner   BIGINT NOT NULL,
    state   BIGINT NOT NULL,
    options BLOB   NOT NULL,
    PRIMARY KEY (node, who)
) WITHOUT ROWID;
CREATE INDEX pubsub_subscriptions_who ON pubsub_subscriptions (who, owner);

-- Numbers of nodes and of contents that are gone, and of which the tables above have rows that go in
-- pieces.
CREATE TABLE pubsub_gone (
    id INTEGER NOT NULL PRIMARY KEY
);
