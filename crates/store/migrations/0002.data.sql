-- What a database of version 2 holds besides that of 0001.data.sql: a row or more in every table
-- that is new, for the tests that bring it to today's version. This file is never changed, either.
INSERT INTO messages VALUES
    (7, 53, 'eve@#1', 'desk', 'bob@#1', NULL, 1, X'3c6d6573736167652f3e');
INSERT INTO mailbox VALUES (1, 7, 53, 'eve@#1', 2);
INSERT INTO roster VALUES
    (1, 'eve@#1', 1, 'E', '', 3, 0, 0, X'', 2),
    (3, 'bob@#1', 1, '', '', 1, 0, 0, X'', 1),
    (3, 'far@far.example', 0, '', '', 0, 0, 0, X'3c70726573656e63652f3e', 0);
INSERT INTO roster_versions VALUES (1, 2, 0), (3, 1, 0);
INSERT INTO departures VALUES (3, 60, 'gone fishing');
