//! `whoelse doctor`: checks everything that a server needs, reports what is wrong, and how to fix
//! it.
//!
//! It works with or without a running server, and changes nothing. Each file here checks one thing
//! and returns findings; this one prints them.

mod certificate;
mod clock;
mod data;
mod dns;
mod network;
mod running;
mod system;
mod web;

use std::path::Path;
use std::process::ExitCode;
use std::{fmt, io};

use serde_json::json;
use whoelse_server::Config;
use whoelse_server::config::Problem;
use whoelse_xmpp::{BareJid, in_words};

use crate::say::text;
use crate::{cli, output};

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Ok,
    /// It works, but somebody should look at it.
    Warning,
    /// The server cannot work with this, or not for everybody.
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    state: State,
    /// The subject, in a word.
    about: &'static str,
    /// What was found.
    text: String,
    /// The advice, if there is one.
    fix: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { state: State::Ok, about, text: text.into(), fix: None }
    }

    fn warning(about: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        let (text, fix) = (text.into(), Some(fix.into()));
        Finding { state: State::Warning, about, text, fix }
    }

    fn problem(about: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        let (text, fix) = (text.into(), Some(fix.into()));
        Finding { state: State::Problem, about, text, fix }
    }

    /// Returns the finding for a path that cannot be examined: it is unknown whether it exists, so
    /// nothing is promised.
    fn unseen(about: &'static str, place: &Path, why: &io::Error) -> Finding {
        let text = format!("{} cannot be looked at: {}", place.display(), in_words(why));
        Finding::problem(about, text, "run doctor as the server's user")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}: {}", self.state.name(), self.about, self.text)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Runs all checks. Status 1 if there is a problem.
pub fn run(options: cli::Doctor) -> ExitCode {
    let as_json = options.json;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            output::complain(format_args!("cannot start: {}", in_words(&why)));
            return ExitCode::FAILURE;
        }
    };
    let findings = runtime.block_on(examine(options));
    // A check that timed out may still be running.
    runtime.shutdown_background();
    let text = if as_json { in_json(&findings) } else { in_lines(&findings) };
    if let Err(why) = output::result(text) {
        output::complain(why);
        return ExitCode::FAILURE;
    }
    match findings.iter().any(|finding| finding.state == State::Problem) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn in_lines(findings: &[Finding]) -> String {
    let lines: Vec<String> =
        findings.iter().map(|finding| text::line(&finding.to_string())).collect();
    lines.join("\n")
}

fn in_json(findings: &[Finding]) -> String {
    let all: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "state": finding.state.name(),
                "about": finding.about,
                "text": finding.text,
                "fix": finding.fix,
            })
        })
        .collect();
    let well = !findings.iter().any(|finding| finding.state == State::Problem);
    json!({ "ok": well, "findings": all }).to_string()
}

async fn examine(options: cli::Doctor) -> Vec<Finding> {
    let mut config = match &options.config {
        Some(file) => match Config::from_file(file) {
            Ok(config) => config,
            Err(error) => {
                let fix = "nothing else was looked at, mend this first";
                let finding =
                    |problem: &Problem| Finding::problem("configuration", problem.to_string(), fix);
                return error.problems().iter().map(finding).collect();
            }
        },
        None => Config::quick_start(),
    };
    if let Some(data) = options.data {
        config.data = data;
    }
    let mut findings = configuration(&config);
    let server = running::find(&config.data).await;
    findings.extend(server.findings.iter().cloned());
    findings.extend(data::directory(&config.data));
    let database = data::database(&config.place(), server.is_here()).await;
    findings.extend(database.findings);
    if let Some(file) = &config.credentials {
        findings.extend(data::credentials(&file.path, file.required));
    }
    findings.extend(other_domain(config.domain.as_deref(), database.domain.as_deref()));
    // What the database serves already is what a server can serve.
    let domain = database.domain.or_else(|| config.domain.clone());
    let domain = domain.unwrap_or_else(|| "localhost".to_owned());
    findings
        .extend(network::listeners(&config, server.is_here(), server.listening.as_deref()).await);
    findings.extend(certificate::check(&config, &domain));
    findings.extend(web::host_meta(&config, server.is_here()).await);
    findings.extend(clock::check(&config.data, database.heartbeat, server.is_here()).await);
    findings.extend(system::disk(&config.data));
    findings.extend(system::descriptors(&config.settings.limits, server.pid));
    if options.dns {
        findings.extend(dns::check(&config, &domain).await);
    }
    findings
}

/// Checks that the configuration names the domain that the database serves, if either names one. A
/// server does not start over the database of another domain.
fn other_domain(wanted: Option<&str>, stored: Option<&str>) -> Option<Finding> {
    let (wanted, stored) = wanted.zip(stored)?;
    let normal = BareJid::parse(wanted).map_or_else(|_| wanted.to_owned(), |it| it.to_string());
    (normal != stored).then(|| {
        Finding::problem(
            "domain",
            format!(
                "the data directory serves {stored}, the configuration says {wanted}: the server \
                 will not start"
            ),
            format!(
                "write `domain = \"{stored}\"`, or, to rename it, start it without `domain` and \
                 run `whoelse domain rename {stored} {wanted}`"
            ),
        )
    })
}

fn configuration(config: &Config) -> Vec<Finding> {
    let mut problems: Vec<String> = config.check().iter().map(ToString::to_string).collect();
    if let Err(problem) = crate::admin::log::check(config.log.level.as_deref()) {
        problems.push(problem);
    }
    if problems.is_empty() {
        return vec![Finding::ok("configuration", config.summary())];
    }
    let fix = "the server does not start like this";
    problems.into_iter().map(|text| Finding::problem("configuration", text, fix)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_to_do() {
        let finding = Finding::warning("disk", "nearly full", "make room");

        assert_eq!(finding.to_string(), "warning  disk: nearly full; make room");
        assert_eq!(Finding::ok("disk", "fine").to_string(), "ok       disk: fine");
    }

    #[test]
    fn json_has_the_same() {
        let json = in_json(&[Finding::problem("disk", "full \u{1b}", "make room")]);

        assert_eq!(
            json,
            r#"{"findings":[{"about":"disk","fix":"make room","state":"problem","text":"full \u001b"}],"ok":false}"#
        );
    }

    #[test]
    fn another_domain_than_the_database_serves_is_a_problem() {
        let found = other_domain(Some("old.example"), Some("new.example")).unwrap();
        assert!(found.fix.unwrap().starts_with("write `domain = \"new.example\"`"));

        for wanted in [None, Some("new.example"), Some("NEW.example")] {
            assert!(other_domain(wanted, Some("new.example")).is_none(), "{wanted:?}");
        }
        assert!(other_domain(Some("new.example"), None).is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_not_said_to_be_absent() {
        // Like a path in a directory that one may not enter, for root as well.
        let hidden = Path::new("/dev/null/data");
        let config = Config { data: hidden.to_owned(), ..Config::quick_start() };

        let mut found = running::find(hidden).await.findings;
        found.extend(certificate::check(&config, "localhost"));
        found.extend(system::disk(hidden));

        assert_eq!(found.len(), 3, "{found:?}");
        for finding in found {
            assert_eq!(finding.state, State::Problem, "{finding}");
            assert!(finding.text.contains("cannot be looked at"), "{finding}");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_a_problem() {
        let mut config = Config::quick_start();
        config.listen = vec![([0, 0, 0, 0], 5222).into()];

        let found = configuration(&config);

        assert!(found.iter().all(|finding| finding.state == State::Problem), "{found:?}");
    }
}
