-- Version 7. What 0001.sql says of types and of PostgreSQL holds here too.

-- Which account made a room; an account that is gone keeps its number, which nobody else gets. NULL:
-- it is from before this version.
ALTER TABLE rooms ADD COLUMN maker BIGINT;
CREATE INDEX rooms_maker ON rooms (maker);
