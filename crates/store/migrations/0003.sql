-- Version 3. What 0001.sql says of types and of PostgreSQL holds here too.

-- What features remember of an account: small values, each under a namespace and a name in it.
CREATE TABLE account_data (
    account   BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    namespace TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    value     BLOB   NOT NULL,
    PRIMARY KEY (account, namespace, name)
) WITHOUT ROWID;
