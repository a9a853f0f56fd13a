-- Version 2.

-- mailbox.direction: 2 is received too, but kept only until it is delivered (XEP-0334,
-- no-permanent-store). There are few of these, and they are looked for by this alone.
CREATE INDEX mailbox_passing ON mailbox (archive, seq) WHERE direction = 2;
