//! RFC 6121, Appendix A: how a presence of type `subscribe`, `unsubscribe`, `subscribed` or
//! `unsubscribed` changes the subscription state between an account and a contact, as one pure
//! function.

/// The subscription state of a contact, seen from the owner of the roster (RFC 6121, A.1).
///
/// An owner who sees a contact's presence does not ask for it, so nine of the combinations are
/// states of the RFC. `approved` is in addition to them (RFC 6121, 3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// The owner sees the contact's presence.
    pub to: bool,
    /// The contact sees the owner's presence.
    pub from: bool,
    /// "Pending out": the owner has asked for the contact's presence.
    pub ask: bool,
    /// "Pending in": the contact has asked for the owner's presence.
    pub asked: bool,
    /// The owner has approved, in advance, a request that has not come yet.
    pub approved: bool,
}

/// The types of presence that change a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionType {
    /// May I see your presence?
    Subscribe,
    /// I no longer want to.
    Unsubscribe,
    /// You may see mine.
    Subscribed,
    /// You may not, or no longer.
    Unsubscribed,
}

/// The direction of a subscription presence, seen from the owner of the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the contact.
    Out,
    /// From the contact.
    In,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The new state.
    pub state: State,
    /// Whether the presence is passed on: to the contact's server, or to the owner's devices.
    pub passes: bool,
    /// Whether the owner's server answers `subscribed` without asking the owner (RFC 6121, 3.1.3
    /// and 3.4).
    pub granted: bool,
}

impl SubscriptionType {
    /// Reads the type of a presence; `None` for one that changes no subscription.
    pub fn of(type_: Option<&str>) -> Option<SubscriptionType> {
        Some(match type_? {
            "subscribe" => SubscriptionType::Subscribe,
            "unsubscribe" => SubscriptionType::Unsubscribe,
            "subscribed" => SubscriptionType::Subscribed,
            "unsubscribed" => SubscriptionType::Unsubscribed,
            _ => return None,
        })
    }

    /// The type of the presence.
    pub fn name(self) -> &'static str {
        match self {
            SubscriptionType::Subscribe => "subscribe",
            SubscriptionType::Unsubscribe => "unsubscribe",
            SubscriptionType::Subscribed => "subscribed",
            SubscriptionType::Unsubscribed => "unsubscribed",
        }
    }
}

/// Takes one step: RFC 6121, A.2 for outbound presence, A.3 for inbound presence.
pub fn step(before: State, way: Way, word: SubscriptionType) -> Step {
    let mut state = before;
    let mut granted = false;
    let passes = match (way, word) {
        (Way::Out, SubscriptionType::Subscribe) => {
            state.ask = !before.to;
            true
        }
        (Way::Out, SubscriptionType::Unsubscribe) => {
            (state.to, state.ask) = (false, false);
            true
        }
        (Way::Out, SubscriptionType::Subscribed) => {
            (state.from, state.asked) = (before.from || before.asked, false);
            // Nobody has asked: the approval stays here until somebody does (RFC 6121, 3.4.2).
            state.approved |= !state.from;
            before.asked
        }
        (Way::Out, SubscriptionType::Unsubscribed) => {
            (state.from, state.asked, state.approved) = (false, false, false);
            before.from || before.asked
        }
        (Way::In, SubscriptionType::Subscribe) => {
            granted = before.from || before.approved;
            (state.from, state.asked) = (granted, !granted);
            !granted && !before.asked
        }
        (Way::In, SubscriptionType::Unsubscribe) => {
            (state.from, state.asked) = (false, false);
            before.from || before.asked
        }
        (Way::In, SubscriptionType::Subscribed) => {
            (state.to, state.ask) = (before.to || before.ask, false);
            before.ask
        }
        (Way::In, SubscriptionType::Unsubscribed) => {
            (state.to, state.ask) = (false, false);
            before.to || before.ask
        }
    };
    Step { state, passes, granted }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The states by the names of the RFC: "None + Pending Out+In" is `None+O+I`; `+A` is a contact
    /// that is approved in advance.
    fn state(name: &str) -> State {
        let mut parts = name.split('+');
        let base = parts.next().unwrap();
        let mut state = State {
            to: matches!(base, "To" | "Both"),
            from: matches!(base, "From" | "Both"),
            ..State::default()
        };
        for part in parts {
            match part {
                "O" => state.ask = true,
                "I" => state.asked = true,
                "A" => state.approved = true,
                other => panic!("{other}"),
            }
        }
        state
    }

    /// Each row: the state, whether the presence passes, the new state (`=`: no change).
    fn check(way: Way, word: SubscriptionType, table: [(&str, bool, &str); 9]) {
        let names: Vec<&str> = table.iter().map(|(name, ..)| *name).collect();
        let all = ["None", "None+O", "None+I", "None+O+I", "To", "To+I", "From", "From+O", "Both"];
        assert_eq!(names, all);
        for (before, passes, after) in table {
            let taken = step(state(before), way, word);
            let after = if after == "=" { before } else { after };
            assert_eq!(taken.state, state(after), "{way:?} {word:?} in {before}");
            assert_eq!(taken.passes, passes, "{way:?} {word:?} in {before}");
        }
    }

    #[test]
    fn every_row_of_a_2_1_for_subscribe_going_out() {
        check(
            Way::Out,
            SubscriptionType::Subscribe,
            [
                ("None", true, "None+O"),
                ("None+O", true, "="),
                ("None+I", true, "None+O+I"),
                ("None+O+I", true, "="),
                ("To", true, "="),
                ("To+I", true, "="),
                ("From", true, "From+O"),
                ("From+O", true, "="),
                ("Both", true, "="),
            ],
        );
    }

    #[test]
    fn every_row_of_a_2_2_for_unsubscribe_going_out() {
        check(
            Way::Out,
            SubscriptionType::Unsubscribe,
            [
                ("None", true, "="),
                ("None+O", true, "None"),
                ("None+I", true, "="),
                ("None+O+I", true, "None+I"),
                ("To", true, "None"),
                ("To+I", true, "None+I"),
                ("From", true, "="),
                ("From+O", true, "From"),
                ("Both", true, "From"),
            ],
        );
    }

    #[test]
    fn every_row_of_a_2_3_for_subscribed_going_out() {
        // If nobody has asked, the RFC knows no change but the approval in advance (3.4.2).
        check(
            Way::Out,
            SubscriptionType::Subscribed,
            [
                ("None", false, "None+A"),
                ("None+O", false, "None+O+A"),
                ("None+I", true, "From"),
                ("None+O+I", true, "From+O"),
                ("To", false, "To+A"),
                ("To+I", true, "Both"),
                ("From", false, "="),
                ("From+O", false, "="),
                ("Both", false, "="),
            ],
        );
    }

    #[test]
    fn every_row_of_a_2_4_for_unsubscribed_going_out() {
        check(
            Way::Out,
            SubscriptionType::Unsubscribed,
            [
                ("None", false, "="),
                ("None+O", false, "="),
                ("None+I", true, "None"),
                ("None+O+I", true, "None+O"),
                ("To", false, "="),
                ("To+I", true, "To"),
                ("From", true, "None"),
                ("From+O", true, "None+O"),
                ("Both", true, "To"),
            ],
        );
    }

    #[test]
    fn every_row_of_a_3_1_for_subscribe_coming_in() {
        check(
            Way::In,
            SubscriptionType::Subscribe,
            [
                ("None", true, "None+I"),
                ("None+O", true, "None+O+I"),
                ("None+I", false, "="),
                ("None+O+I", false, "="),
                ("To", true, "To+I"),
                ("To+I", false, "="),
                ("From", false, "="),
                ("From+O", false, "="),
                ("Both", false, "="),
            ],
        );
        // The footnote: a contact who sees the presence already is told so once more.
        for (before, granted) in [("None", false), ("To+I", false), ("From", true), ("Both", true)]
        {
            assert_eq!(
                step(state(before), Way::In, SubscriptionType::Subscribe).granted,
                granted,
                "{before}"
            );
        }
    }

    #[test]
    fn every_row_of_a_3_2_for_unsubscribe_coming_in() {
        check(
            Way::In,
            SubscriptionType::Unsubscribe,
            [
                ("None", false, "="),
                ("None+O", false, "="),
                ("None+I", true, "None"),
                ("None+O+I", true, "None+O"),
                ("To", false, "="),
                ("To+I", true, "To"),
                ("From", true, "None"),
                ("From+O", true, "None+O"),
                ("Both", true, "To"),
            ],
        );
    }

    #[test]
    fn every_row_of_a_3_3_for_subscribed_coming_in() {
        check(
            Way::In,
            SubscriptionType::Subscribed,
            [
                ("None", false, "="),
                ("None+O", true, "To"),
                ("None+I", false, "="),
                ("None+O+I", true, "To+I"),
                ("To", false, "="),
                ("To+I", false, "="),
                ("From", false, "="),
                ("From+O", true, "Both"),
                ("Both", false, "="),
            ],
        );
    }

    #[test]
    fn every_row_of_a_3_4_for_unsubscribed_coming_in() {
        check(
            Way::In,
            SubscriptionType::Unsubscribed,
            [
                ("None", false, "="),
                ("None+O", true, "None"),
                ("None+I", false, "="),
                ("None+O+I", true, "None+I"),
                ("To", true, "None"),
                ("To+I", true, "None+I"),
                ("From", false, "="),
                ("From+O", true, "From"),
                ("Both", true, "From"),
            ],
        );
    }

    #[test]
    fn who_is_approved_in_advance_is_not_asked_about() {
        for (before, after) in [("None+A", "From+A"), ("None+O+A", "From+O+A"), ("To+A", "Both+A")]
        {
            let taken = step(state(before), Way::In, SubscriptionType::Subscribe);
            let expected = Step { state: state(after), passes: false, granted: true };
            assert_eq!(taken, expected, "{before}");
        }
    }

    #[test]
    fn an_approval_in_advance_is_taken_back_without_a_word() {
        for (before, after) in [("None+A", "None"), ("None+O+A", "None+O"), ("To+A", "To")] {
            let taken = step(state(before), Way::Out, SubscriptionType::Unsubscribed);
            let expected = Step { state: state(after), passes: false, granted: false };
            assert_eq!(taken, expected, "{before}");
        }
        // Nothing that the contact says takes an approval back (RFC 6121, 4.3.2).
        for word in [
            SubscriptionType::Unsubscribe,
            SubscriptionType::Subscribed,
            SubscriptionType::Unsubscribed,
        ] {
            assert!(step(state("To+A"), Way::In, word).state.approved, "{word:?}");
        }
    }

    /// Applies a type to both rosters: outbound in one, inbound in the other, then what comes back
    /// at once. `heard`: the other takes a request, and has a place for it.
    fn say(one: State, other: State, type_: SubscriptionType, heard: bool) -> (State, State) {
        let out = step(one, Way::Out, type_);
        if !out.passes || !heard && type_ == SubscriptionType::Subscribe {
            return (out.state, other);
        }
        let into = step(other, Way::In, type_);
        let back = into.granted.then(|| step(out.state, Way::In, SubscriptionType::Subscribed));
        (back.map_or(out.state, |back| back.state), into.state)
    }

    #[test]
    fn who_asks_somebody_who_has_approved_has_asked_before_the_answer_comes() {
        for (before, said, after) in [("None", "None+O", "To"), ("From", "From+O", "Both")] {
            let out = step(state(before), Way::Out, SubscriptionType::Subscribe);
            assert_eq!((out.state, out.passes), (state(said), true), "{before}");
            let back = step(out.state, Way::In, SubscriptionType::Subscribed);
            assert_eq!((back.state, back.passes), (state(after), true), "{before}");
        }
    }

    #[test]
    fn whatever_two_accounts_say_to_each_other_their_rosters_agree() {
        let types = [
            SubscriptionType::Subscribe,
            SubscriptionType::Unsubscribe,
            SubscriptionType::Subscribed,
            SubscriptionType::Unsubscribed,
        ];
        let mut seen = vec![(State::default(), State::default())];
        let mut next = 0;
        while let Some((one, other)) = seen.get(next).copied() {
            next += 1;
            assert_eq!((one.to, one.from), (other.from, other.to), "{one:?} {other:?}");
            // If one side is asked, the other asks. A request that was not heard is known to its
            // sender alone.
            assert!(one.ask || !other.asked, "{one:?} {other:?}");
            assert!(other.ask || !one.asked, "{one:?} {other:?}");
            for (type_, heard) in types.into_iter().flat_map(|it| [(it, true), (it, false)]) {
                let (back, into) = say(other, one, type_, heard);
                for pair in [say(one, other, type_, heard), (into, back)] {
                    if !seen.contains(&pair) {
                        seen.push(pair);
                    }
                }
            }
        }
        assert!(seen.len() > 30, "{}", seen.len());
    }

    #[test]
    fn no_step_leads_out_of_the_states_of_the_rfc() {
        for bits in 0..32_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let before =
                State { to: bit(0), from: bit(1), ask: bit(2), asked: bit(3), approved: bit(4) };
            if before.to && before.ask || before.from && before.asked {
                continue;
            }
            for way in [Way::Out, Way::In] {
                for word in [
                    SubscriptionType::Subscribe,
                    SubscriptionType::Unsubscribe,
                    SubscriptionType::Subscribed,
                    SubscriptionType::Unsubscribed,
                ] {
                    let after = step(before, way, word).state;
                    assert!(!(after.to && after.ask), "{before:?} {way:?} {word:?}");
                    assert!(!(after.from && after.asked), "{before:?} {way:?} {word:?}");
                }
            }
        }
    }
}
