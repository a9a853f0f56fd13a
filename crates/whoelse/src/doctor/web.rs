//! XEP-0156: what a browser is told at `web.public_url`, asked as a browser asks: from outside,
//! through the proxy if there is one.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_client::tls::{Tls, server_name};
use whoelse_server::Config;
use whoelse_server::config::PublicUrl;
use whoelse_xmpp::in_words;

use super::Finding;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much is read of it.
const MOST: u64 = 16 << 10;
/// How much of a refusal is repeated.
const QUOTED: usize = 300;
/// What the configuration of the proxy or of the server lacks otherwise.
const FIX: &str = "look at the proxy's configuration in docs/operating.md, and at the server's log";

/// Fetches both files, if a server runs that should serve them.
pub async fn host_meta(config: &Config, running: bool) -> Vec<Finding> {
    let Some(url) = config.web.public_url.as_ref().filter(|_| running) else { return Vec::new() };
    let mut findings = Vec::new();
    for path in ["/.well-known/host-meta", "/.well-known/host-meta.json"] {
        findings.push(judge(url, path, fetch(url, path).await));
    }
    findings
}

/// What came back.
struct Fetched {
    answer: String,
    /// What is wrong with the certificate.
    fault: Option<String>,
}

async fn fetch(url: &PublicUrl, path: &str) -> io::Result<Fetched> {
    let fetching = async {
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((host, url.port())).await?;
        if !url.is_secure() {
            return Ok(Fetched { answer: ask(socket, url, path).await?, fault: None });
        }
        let (stream, seen) = Tls::new().connect(socket, server_name(url.host())?, false).await?;
        Ok(Fetched { answer: ask(stream, url, path).await?, fault: seen.fault })
    };
    timeout(PATIENCE, fetching).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    url: &PublicUrl,
    path: &str,
) -> io::Result<String> {
    let (authority, path) = (url.authority(), url.path(path));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match io.take(MOST).read_to_end(&mut answer).await {
        // Many close without the end that TLS has for it.
        Err(error) if answer.is_empty() => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(url: &PublicUrl, path: &str, fetched: io::Result<Fetched>) -> Finding {
    let asked = url.at(path);
    let Fetched { answer, fault } = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            let text = format!("{asked} cannot be fetched: {}", in_words(&error));
            return Finding::problem("web", text, FIX);
        }
    };
    if let Some(fault) = fault {
        let text = format!("browsers refuse the certificate of {asked}: {fault}");
        return Finding::problem("web", text, "get one by an authority");
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    let wanted = url.websocket_at("/xmpp-websocket");
    if status != "200" {
        let body: String = body.trim().chars().take(QUOTED).collect();
        let text = format!("{asked} is answered with {status}: {body}");
        return Finding::problem("web", text, FIX);
    }
    if !body.contains(&wanted) {
        let text = format!("{asked} does not name {wanted}");
        return Finding::problem("web", text, "restart the server to apply what has changed");
    }
    let allows = |line: &str| line.eq_ignore_ascii_case("access-control-allow-origin: *");
    if !head.lines().any(allows) {
        let text = format!("pages of other sites may not read {asked}");
        return Finding::warning(
            "web",
            text,
            "the proxy has taken out Access-Control-Allow-Origin",
        );
    }
    Finding::ok("web", format!("{asked} names {wanted}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;

    fn judged(answer: &str, fault: Option<&str>) -> Finding {
        let url = "https://chat.example.org".parse().unwrap();
        let fetched = Fetched { answer: answer.to_owned(), fault: fault.map(str::to_owned) };
        judge(&url, "/.well-known/host-meta", Ok(fetched))
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n\r\n\
                        <Link href='wss://chat.example.org/xmpp-websocket'/>";

    #[test]
    fn what_browsers_are_told_is_looked_at() {
        assert_eq!(judged(GOOD, None).state, State::Ok);
        assert_eq!(judged(GOOD, Some("it has expired")).state, State::Problem);
        let closed = GOOD.replace("Access-Control-Allow-Origin: *", "x: y");
        assert_eq!(judged(&closed, None).state, State::Warning);
        let other = GOOD.replace("chat.example.org", "old.example.org");
        assert_eq!(judged(&other, None).state, State::Problem);
    }

    #[test]
    fn a_refusal_is_repeated_with_its_words() {
        let refused = "HTTP/1.1 403 Forbidden\r\n\r\nits address 127.0.0.1 is not in \
                       trusted_proxies under [web]\n";

        let found = judged(refused, None);

        assert_eq!(found.state, State::Problem);
        assert!(found.text.ends_with("127.0.0.1 is not in trusted_proxies under [web]"), "{found}");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_a_problem() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut config = Config::quick_start();
        config.web.public_url = Some(format!("http://127.0.0.1:{port}").parse().unwrap());

        assert!(host_meta(&config, false).await.is_empty());
        let found = host_meta(&config, true).await;

        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|finding| finding.state == State::Problem), "{found:?}");
    }
}
