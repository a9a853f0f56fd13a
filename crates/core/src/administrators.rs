//! Who is an administrator: the names in the settings, and the accounts to which the operator has
//! granted the right, as it is stored.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use whoelse_store::GrantedRight;

/// Who is an administrator.
pub(crate) struct Administrators {
    /// Whom the settings name, by stored keys, which do not change when the domain gets a new name.
    named: ArcSwap<HashSet<String>>,
    /// The numbers of the accounts to which the right is granted, as it is stored.
    granted: ArcSwap<HashSet<i64>>,
}

impl Administrators {
    pub fn new(named: HashSet<String>, granted: &[GrantedRight]) -> Administrators {
        let granted = granted.iter().map(|right| right.account).collect::<HashSet<_>>();
        Administrators {
            named: ArcSwap::from_pointee(named),
            granted: ArcSwap::from_pointee(granted),
        }
    }

    /// Takes the names that the settings have now.
    pub fn set_named(&self, named: HashSet<String>) {
        self.named.store(Arc::new(named));
    }

    /// Returns the stored keys that the settings name.
    pub fn named(&self) -> Arc<HashSet<String>> {
        self.named.load_full()
    }

    /// Whether the settings name this key, which is made only if they name any.
    pub fn is_named(&self, key: impl FnOnce() -> String) -> bool {
        let named = self.named.load();
        !named.is_empty() && named.contains(&key())
    }

    /// Whether the right is granted to the account of this number.
    pub fn is_granted(&self, account: i64) -> bool {
        self.granted.load().contains(&account)
    }

    /// Notes what was committed.
    pub fn note(&self, account: i64, is_granted: bool) {
        if self.is_granted(account) != is_granted {
            self.granted.rcu(|granted| {
                let mut granted = HashSet::clone(granted);
                match is_granted {
                    true => granted.insert(account),
                    false => granted.remove(&account),
                };
                granted
            });
        }
    }
}
