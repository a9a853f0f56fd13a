-- What a database of version 5 holds besides that of the versions before: a row or more in every table
-- that is new.
INSERT INTO numbers (name, value) VALUES ('room', 2);
UPDATE numbers SET value = value + 2 WHERE name = 'archive';
INSERT INTO rooms VALUES (1, 1, 'lunch', 1, 1, 'Lunch', X'01', X'02', X'3c6d6573736167652f3e', 'bob', 1767225600000000);
INSERT INTO archives SELECT value - 1, NULL, 1, 0, 0, 0 FROM numbers WHERE name = 'archive';
INSERT INTO room_affiliations VALUES (1, 'bob@#1', 4, 'bob', 1767225600000000);
INSERT INTO rooms_gone SELECT 2, value, 0 FROM numbers WHERE name = 'archive';
