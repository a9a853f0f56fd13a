-- Data of version 1, with a row or more in every table, for the test that brings them to today's
-- version. What was released once stays as it was: this file is never changed.
INSERT INTO numbers VALUES ('account', 3), ('domain', 1), ('interval', 2), ('seq', 7), ('heartbeat', 60);
INSERT INTO settings VALUES ('login', X'00ff10'), ('archive', X'0102');
INSERT INTO domains VALUES (1, 'chat.example');
INSERT INTO accounts VALUES (1, 1, 'bob', 50, 55), (3, 1, 'eve', 60, 60);
INSERT INTO credentials VALUES (1, 'SCRAM-SHA-1', X'0a0b', 10000, X'01', X'02');
INSERT INTO blocks VALUES (1, 'mal@far.example');
INSERT INTO places VALUES (1, '192.0.2.1', 55);
INSERT INTO throttle VALUES ('eve@#1 192.0.2.9', 2, 58, 0);
INSERT INTO online VALUES (1, 1, 50, 55), (2, 3, 60, NULL);
INSERT INTO messages VALUES
    (5, 51, 'eve@#1', 'desk', 'bob@#1', 3, 1, X'3c6d6573736167652f3e'),
    (6, 52, 'far@far.example', NULL, 'bob@#1', NULL, 1, X'3c6d6573736167652f3e');
INSERT INTO mailbox VALUES (1, 5, 51, 'eve@#1', 0), (3, 5, 51, 'bob@#1', 1), (1, 6, 52, 'far@far.example', 0);
INSERT INTO cursors VALUES (1, 5);
INSERT INTO origins VALUES (3, 'bob@#1', 'o1', 51, 5);
INSERT INTO schema_version VALUES (1);
