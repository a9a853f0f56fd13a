-- What a database of version 3 holds besides that of 0001.data.sql and 0002.data.sql: a row or more
-- in every table that is new.
INSERT INTO account_data VALUES (1, 'storage:bookmarks', 'storage', X'3c73746f726167652f3e');
UPDATE accounts SET generation = 2, registered_at = 1767225600000000 WHERE id = 1;
INSERT INTO removed_names VALUES (1, 'gone', 1767225600000000, 86400000000);
INSERT INTO repeats VALUES (1, 53, X'000102030405060708090a0b0c0d0e0f');
INSERT INTO former_credentials VALUES (1, 'SCRAM-SHA-1', 1, X'0102', 1767225600000000, 1767225600000000);
INSERT INTO removals VALUES (9, 9, 1, 'gone', 0, 0);
INSERT INTO devices VALUES (1, 'd4565fa7-4d72-4749-b3d3-740edbf87770', 1, 'AwesomeXMPP', 'a phone', 1767225600000000, 1767225600000000, 1767225600000000);
INSERT INTO tokens VALUES (1, 'd4565fa7-4d72-4749-b3d3-740edbf87770', 1, 'a token', 'HT-SHA-256-NONE', 2, 1767225600000000, -1);
