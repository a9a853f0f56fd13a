-- Version 6. What 0001.sql says of types and of PostgreSQL holds here too.

-- The rows of new messages until they are moved into `archive_rows`: a row for each archive, in parts
-- that are moved one by one, and in a part in the order in which they came. It is empty here: whatever
-- was in it was moved before this step.
DROP TABLE journal;
CREATE TABLE journal (
    part      BIGINT NOT NULL,
    body      BIGINT NOT NULL,
    archive   BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    peer      BIGINT NOT NULL,
    direction BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    PRIMARY KEY (part, body, archive)
) WITHOUT ROWID;
