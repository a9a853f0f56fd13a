//! Ours, docs/protocol.md: shows whether the clock is believed, and lets the operator vouch for it.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::audit::{Deed, UnderWay};
use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::trust::{Doubt, ENOUGH, Voucher};
use whoelse_xmpp::{Condition, StanzaError};

/// Shows the state of the clock, or vouches for it.
pub(super) const CLOCK: Command = Command {
    node: "urn:whoelse:commands:0#clock",
    name: "Whether the clock is believed",
    // Most requests only look; a request that vouches for the clock is audited below.
    right: Right::Look,
    fields: &[Field {
        var: "trust",
        label: "It is right",
        kind: FieldKind::ListSingle(&[("No", "0"), ("Yes", "1")]),
        required: false,
    }],
    run: |cx, values| Box::pin(clock(cx, values)),
};

async fn clock(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    match values.get("trust") {
        None | Some("0" | "false") => {}
        Some("1" | "true") => {
            let node = cx.node.clone();
            let deed = Deed::by(&cx.session, "trust-clock", cx.now);
            // With many messages this takes longer than a requester may wait.
            let trusting = UnderWay::new(node.audit.clone(), deed).to_its_end(
                async move { trust(&node).await },
                |done| match done {
                    Ok(()) => Ok("the clock is believed".to_owned()),
                    Err(_) => Err("that could not be written".to_owned()),
                },
            );
            let broke_off = || StanzaError::new(Condition::InternalServerError);
            trusting.await.unwrap_or_else(|| Err(broke_off()))?;
        }
        Some(_) => {
            return Err(StanzaError::new(Condition::BadRequest)
                .with_text("`trust` must be 1 for yes or 0 for no"));
        }
    }
    let (wall, doubt) = (cx.node.clock.now().stamp(), cx.node.clock_doubt());
    let believed = if doubt.is_none() { "1" } else { "0" };
    let mut done = match doubt {
        None => CommandDone::info(format!("the clock says {wall} and is believed")),
        Some(doubt) => CommandDone::warn(format!("the clock says {wall} and is {}", why(&doubt))),
    };
    done.fields.push(("believed", FieldKind::TextSingle, vec![believed.to_owned()]));
    done.fields.push(("wall", FieldKind::TextSingle, vec![wall]));
    Ok(done)
}

fn why(doubt: &Doubt) -> String {
    let left = ENOUGH.saturating_sub(doubt.up).as_secs().div_ceil(3600);
    format!(
        "not believed: {}. Nothing is forgotten by its age until the system synchronises it, \
         `whoelse clock trust` says that it is right, or {left} h more of uptime have passed",
        doubt.why
    )
}

async fn trust(node: &Arc<Node>) -> Result<(), StanzaError> {
    match node.vouch_for_clock(Voucher::Operator).await {
        Ok(_) => Ok(()),
        Err(error) => {
            node.store_failing("clock_doubt_not_ended", None, &error);
            Err(StanzaError::new(Condition::InternalServerError))
        }
    }
}
