-- What a database of version 4 holds besides that of the versions before: a row or more in every table
-- that is new.
INSERT INTO numbers (name, value) VALUES ('pubsub', 4);
INSERT INTO pubsub_nodes VALUES (1, 1, 'eu.siacs.conversations.axolotl.devicelist', X'01', 2, 1, 14, 1);
INSERT INTO pubsub_items VALUES (2, 1, 'current', 'bob@#1', 1, 1767225600000000, 14, X'3c6c6973742f3e');
INSERT INTO pubsub_affiliations VALUES (1, 'eve@#1', 1, 2);
INSERT INTO pubsub_subscriptions VALUES (1, 'eve@#1/desk', 1, 1, X'');
INSERT INTO pubsub_gone VALUES (4);
