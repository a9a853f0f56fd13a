//! `whoelse config check [FILE]`: reads a configuration file as a server would, without starting
//! one.

use std::path::Path;

use whoelse_server::Config;
use whoelse_server::config::Problem;
use whoelse_server::tls::Tls;
use whoelse_store::{Location, Store};
use whoelse_xmpp::in_words;

use super::{Fault, say};
use crate::cli::{self, ConfigAction};
use crate::say::text;

/// Runs the command.
pub async fn run(options: cli::Config) -> Result<(), Fault> {
    match options.action {
        ConfigAction::Check { file, json } => check(&file, json).await,
    }
}

async fn check(file: &Path, json: bool) -> Result<(), Fault> {
    let problems = problems(file).await;
    if json {
        say(serde_json::json!({ "ok": problems.is_empty(), "problems": problems }))?;
        return match problems.is_empty() {
            true => Ok(()),
            false => Err(Fault::Many(Vec::new())),
        };
    }
    if problems.is_empty() {
        return say(text::line(&format!("{} is fine", file.display())));
    }
    Err(Fault::Many(problems))
}

/// Returns the problems, a sentence each.
async fn problems(file: &Path) -> Vec<String> {
    // Other errors are reported when the file is read.
    if file.try_exists().is_ok_and(|there| !there) {
        let file = file.display();
        return vec![format!("there is no file {file}; name one: `whoelse config check FILE`")];
    }
    let (config, mut problems) = match Config::read(file) {
        Ok(read) => read,
        Err(error) => return vec![error.to_string()],
    };
    problems.extend(config.check());
    let mut say = |key: &str, text: String| problems.push(config.problem(key, text));
    if let Err(problem) = super::log::check(config.log.level.as_deref()) {
        say("log.level", format!("log.level: {problem}"));
    }
    if let Some(files) = config.certificate_files()
        && let Err(error) = Tls::open(&files.certificate, &files.key)
    {
        say("certificate", error.to_string());
    }
    if let Some(accounts) = &config.credentials
        && accounts.required
        && let Err(error) = std::fs::File::open(&accounts.path)
    {
        let path = accounts.path.display();
        say("credentials", format!("cannot read {path}: {}", in_words(&error)));
    }
    // A database file is checked at the start; only a database on a server must be reached here.
    let place = config.place();
    if let Location::Postgres(_) = place
        && let Err(error) = Store::look(&place).await
    {
        say("database", error.to_string());
    }
    problems.sort_by_key(Problem::line);
    problems.iter().map(Problem::to_string).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn of(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("whoelse.toml");
        std::fs::write(&file, text).unwrap();
        let named = format!("{}", file.display());
        let found = problems(&file).await;
        assert!(found.iter().all(|problem| problem.contains(&named) && !problem.contains('\n')));
        found
    }

    #[tokio::test]
    async fn a_sound_file_has_no_problems() {
        assert_eq!(of("contacts = \"everyone\"\n").await, [""; 0]);
    }

    #[tokio::test]
    async fn every_setting_that_does_not_go_with_the_others_is_named() {
        let found = of("contacts = \"everyone\"\nregistration = \"open\"\nlisten = \"0.0.0.0\"\n\
                        admins = [\"@\"]\n")
        .await;

        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|it| it.contains("contacts") && it.contains("registration")));
        assert!(found.iter().any(|it| it.contains("admins")));
    }

    #[tokio::test]
    async fn files_that_the_configuration_names_are_looked_at_too() {
        let found = of("contacts = \"everyone\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n\
                        credentials = \"none.txt\"\n")
        .await;

        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|it| it.contains("c.pem")));
        assert!(found.iter().any(|it| it.contains("none.txt")));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_one_problem() {
        let found = problems(Path::new("/nowhere/whoelse.toml")).await;

        assert_eq!(found.len(), 1);
        assert!(found[0].contains("/nowhere/whoelse.toml"), "{found:?}");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_named_without_its_password() {
        let text = "contacts = \"everyone\"\n\
                    database = \"postgres://bob:sesame@127.0.0.1:1/chat\"\n";

        let found = of(text).await;

        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("cannot reach the database postgres://bob@127.0.0.1:1/chat"));
    }
}
