//! Statements over many rows, in a few fixed sizes, so that each stays prepared.
//!
//! A round trip to the database costs more than a row does, and a statement of exactly the right
//! size would have to be prepared each time. So a list is cut into pieces of the sizes below,
//! largest first.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// How many rows the statements take.
///
/// There are no larger ones: SQLite compares each parameter's name with all names before it, so the
/// cost of a statement grows with the square of its rows. With 128 rows, this was a quarter of the
/// cost of storing a message.
const SIZES: [usize; 4] = [32, 8, 2, 1];

/// One statement in every size.
pub(crate) struct ManyRows {
    texts: Vec<(usize, Arc<str>)>,
}

impl ManyRows {
    /// Builds `before ($1, $2), ($3, $4) after` for every size, with this many columns in a row.
    pub(crate) fn new(before: &str, columns: usize, after: &str) -> Self {
        let texts = SIZES.into_iter().map(|size| {
            let rows: Vec<String> = (0..size)
                .map(|row| {
                    let first = row * columns + 1;
                    let row: Vec<String> =
                        (first..first + columns).map(|n| format!("${n}")).collect();
                    format!("({})", row.join(", "))
                })
                .collect();
            (size, format!("{before} {} {after}", rows.join(", ")).into())
        });
        Self { texts: texts.collect() }
    }

    /// Cuts a list into pieces, each with the statement for its size.
    pub(crate) fn pieces<'a, T>(
        &'a self,
        mut rest: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> + Send
    where
        T: Sync,
    {
        std::iter::from_fn(move || {
            let (size, text) = self.texts.iter().find(|(size, _)| *size <= rest.len())?;
            let (piece, after) = rest.split_at(*size);
            rest = after;
            Some((AssertSqlSafe(Arc::clone(text)), piece))
        })
    }

    /// Returns the statements, for the test that executes each.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.iter().map(|(_, text)| text.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_numbers_its_parameters_through() {
        let rows = ManyRows::new("INSERT INTO t VALUES", 2, "RETURNING a");

        assert!(
            rows.texts().contains(&"INSERT INTO t VALUES ($1, $2), ($3, $4) RETURNING a".into())
        );
    }

    #[test]
    fn a_list_is_cut_into_few_pieces_and_none_is_lost() {
        let rows = ManyRows::new("", 1, "");
        let list: Vec<usize> = (0..75).collect();

        let pieces: Vec<&[usize]> = rows.pieces(&list).map(|(_, piece)| piece).collect();

        assert_eq!(pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [32, 32, 8, 2, 1]);
        assert_eq!(pieces.concat(), list);
        assert_eq!(rows.pieces::<usize>(&[]).count(), 0);
    }
}
