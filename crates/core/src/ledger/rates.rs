//! What an account may do, a new account, and all new accounts of a site together.

use super::bucket::Rate;

/// How long an account that somebody has registered counts as new.
pub(crate) const NEW: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Seconds of its rate that an account may send at once: enough for a client that brings a thousand
/// contacts along.
const SECONDS_AT_ONCE: f64 = 128.0;
/// By how much the rate of a new account is smaller. What it may do at once is not: whoever moves
/// here begins with all of their contacts.
const NEW_SLOWER: f64 = 8.0;
/// How many accounts' rate the new ones of a site share.
const SITE: f64 = 4.0;

/// Somebody with five devices that all come back, several times over.
const FAN_OUTS: Rate = Rate { per_second: 2.0, at_once: 60.0 };
const FAN_OUTS_OF_NEW: Rate = Rate { per_second: 0.5, at_once: 30.0 };
/// A school on its first day: four hundred come at once.
const FAN_OUTS_OF_SITE: Rate = Rate { per_second: 20.0, at_once: 1_200.0 };

/// The rates of an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// What is sent, in bytes.
    pub work: Rate,
    /// What reaches everybody.
    pub fan_outs: Rate,
}

impl Rates {
    /// Those of an account, which may send so many bytes a second.
    pub fn of_account(bytes_per_second: u64) -> Rates {
        Rates { work: work(bytes_per_second), fan_outs: FAN_OUTS }
    }

    /// Those of a new account.
    pub fn of_new_account(bytes_per_second: u64) -> Rates {
        let Rate { per_second, at_once } = work(bytes_per_second);
        let work = Rate { per_second: per_second / NEW_SLOWER, at_once };
        Rates { work, fan_outs: FAN_OUTS_OF_NEW }
    }

    /// Those of all new accounts of a site together.
    pub fn of_site(bytes_per_second: u64) -> Rates {
        let Rate { per_second, at_once } = work(bytes_per_second);
        let work = Rate { per_second: per_second * SITE, at_once: at_once * SITE };
        Rates { work, fan_outs: FAN_OUTS_OF_SITE }
    }
}

fn work(bytes_per_second: u64) -> Rate {
    let per_second = bytes_per_second.max(1) as f64;
    Rate { per_second, at_once: per_second * SECONDS_AT_ONCE }
}
