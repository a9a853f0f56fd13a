//! Statements over many rows, in a few fixed sizes, so that each stays prepared.
//!
//! A round trip to the database costs more than a row does, and a statement of exactly the right
//! size would have to be prepared each time. So a list is cut into pieces of the sizes below,
//! largest first.
//!
//! These texts alone differ between the databases: parameters are `$1, $2, …` for PostgreSQL, and
//! `?` for SQLite, in the same order. SQLite compares the name of a parameter with all names before
//! it each time a value is bound, so that the cost of a statement would grow with the square of its
//! rows; `?` has no name.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use crate::dialect::Dialect;

/// How many rows the statements take: each twice as many as the next, so that a list of less than 512 takes
/// nine statements at most.
const SIZES: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/// One statement in every size.
pub(crate) struct ManyRows {
    sqlite: Vec<(usize, Arc<str>)>,
    postgres: Vec<(usize, Arc<str>)>,
}

impl ManyRows {
    /// Builds `before ($1, $2), ($3, $4) after` for every size, with this many columns in a row.
    pub(crate) fn new(before: &str, columns: usize, after: &str) -> Self {
        let build = |parameter: &dyn Fn(usize) -> String| {
            let texts = SIZES.into_iter().map(|size| {
                let row = |row: usize| {
                    let first = row * columns + 1;
                    let row: Vec<String> = (first..first + columns).map(parameter).collect();
                    format!("({})", row.join(", "))
                };
                let rows: Vec<String> = (0..size).map(row).collect();
                (size, format!("{before} {} {after}", rows.join(", ")).into())
            });
            texts.collect()
        };
        Self { sqlite: build(&|_| "?".to_owned()), postgres: build(&|n| format!("${n}")) }
    }

    /// Cuts a list into pieces, each with the statement for its size.
    pub(crate) fn pieces<'a, T>(
        &'a self,
        dialect: Dialect,
        mut rest: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> + Send
    where
        T: Sync,
    {
        let texts = self.texts(dialect);
        std::iter::from_fn(move || {
            let (size, text) = texts.iter().find(|(size, _)| *size <= rest.len())?;
            let (piece, after) = rest.split_at(*size);
            rest = after;
            Some((AssertSqlSafe(Arc::clone(text)), piece))
        })
    }

    /// Returns the statements for a database, with the number of their rows.
    pub(crate) fn texts(&self, dialect: Dialect) -> &[(usize, Arc<str>)] {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_text_has_a_parameter_for_each_column_of_each_row() {
        let rows = ManyRows::new("INSERT INTO t VALUES", 2, "RETURNING a");
        let of_two = |dialect| {
            let (_, text) = rows.texts(dialect).iter().find(|(size, _)| *size == 2).unwrap();
            text.to_string()
        };

        let numbered = "INSERT INTO t VALUES ($1, $2), ($3, $4) RETURNING a";
        assert_eq!(of_two(Dialect::Postgres), numbered);
        assert_eq!(of_two(Dialect::Sqlite), "INSERT INTO t VALUES (?, ?), (?, ?) RETURNING a");
    }

    #[test]
    fn the_texts_for_both_databases_differ_in_the_names_of_parameters_alone() {
        for rows in crate::many_rows() {
            let numbered = rows.texts(Dialect::Postgres);
            assert_eq!(numbered.len(), SIZES.len());
            for ((size, text), (other_size, other)) in
                numbered.iter().zip(rows.texts(Dialect::Sqlite))
            {
                assert_eq!(size, other_size);
                // The n-th `?` stands for `$n`.
                let mut parts = other.split('?');
                let mut named = parts.next().unwrap().to_owned();
                for (n, part) in (1..).zip(parts) {
                    named += &format!("${n}{part}");
                }
                assert_eq!(**text, *named);
            }
        }
    }

    #[test]
    fn a_list_is_cut_into_few_pieces_and_none_is_lost() {
        let rows = ManyRows::new("", 1, "");
        let list: Vec<usize> = (0..203).collect();

        let pieces: Vec<&[usize]> =
            rows.pieces(Dialect::Sqlite, &list).map(|(_, piece)| piece).collect();

        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(sizes, [128, 64, 8, 2, 1]);
        assert_eq!(pieces.concat(), list);
        assert_eq!(rows.pieces::<usize>(Dialect::Sqlite, &[]).count(), 0);
    }
}
